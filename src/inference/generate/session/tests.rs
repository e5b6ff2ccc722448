use std::collections::BTreeMap;

use candle_core::Device;
use proptest::prelude::*;
use rnn_zoo_models::Network;

use super::super::fixture::{KINDS, network, scores_after, tokenizer};
use super::super::{Sampling, text_rng};
use super::*;
use crate::tokenizer::Tokenizer;

const UNKNOWN: u32 = 0;
const END: u32 = 1;

/// All events of a text together.
#[derive(Clone, Debug, Default, PartialEq)]
struct Written {
    tokens: Vec<u32>,
    shown: String,
    logprobs: Vec<f64>,
    finish: Option<Finish>,
}

impl Written {
    fn add(&mut self, event: &Event) {
        assert_eq!(self.finish, None, "no event after the end");
        self.tokens.extend(event.token);
        self.shown.push_str(&event.shown);
        self.logprobs.extend(event.logprob);
        self.finish = event.finish;
    }
}

/// Run a session until all its texts have ended.
fn finish(session: &mut Session<'_>) -> BTreeMap<TextId, Written> {
    let mut written: BTreeMap<TextId, Written> = BTreeMap::new();
    while !session.is_empty() {
        session
            .step()
            .unwrap()
            .into_iter()
            .for_each(|event| written.entry(event.id).or_default().add(&event));
    }
    written
}

/// Write a text in a session of its own.
fn alone(network: &dyn Network, text: Text<'_>, options: TextOptions) -> Written {
    let mut session = Session::new(network, &Device::Cpu).unwrap();
    let id = session.join(text, options);
    finish(&mut session).remove(&id).unwrap()
}

fn text<'t>(
    network: &dyn Network,
    tokenizer: &'t Tokenizer,
    prompt: &str,
    stop: &str,
    seed: u64,
) -> Text<'t> {
    let rng = text_rng(seed, prompt, 0);
    let mut text = Text::new(network, tokenizer, END, &[stop.to_string()], rng).unwrap();
    text.prompt(prompt, &tokenizer.encode_prompt(prompt).unwrap());
    text
}

fn options(length: usize) -> TextOptions {
    TextOptions { banned: vec![UNKNOWN], length, end: Some(END), logprobs: true, ..TextOptions::default() }
}

/// A text, how it is written, and what happens to it.
#[derive(Clone, Debug)]
struct Plan {
    prompt: String,
    seed: u64,
    options: TextOptions,
    /// The step at which it joins.
    joins: usize,
    /// The number of steps after joining at which it leaves, and the number that it stays away.
    pause: Option<(usize, usize)>,
}

fn plan() -> impl Strategy<Value = Plan> {
    // Some prompts are longer than a window.
    let prompt = prop_oneof![4 => "[a-f]{0,5}", 1 => "[a-f]{250,600}"];
    let pause = prop::option::of((1..12usize, 0..5usize));
    (prompt, any::<u64>(), 0..20usize, 0..6usize, pause, any::<bool>(), 0.5..2.).prop_map(
        |(prompt, seed, length, joins, pause, penalised, temperature)| {
            let repetition_penalty = if penalised { 1.3 } else { 1. };
            let sampling =
                Sampling { repetition_penalty, temperature, min_p: Some(0.01), ..Sampling::default() };
            let options = TextOptions { sampling, ..options(length) };
            Plan { prompt, seed, options, joins, pause }
        },
    )
}

/// Write the texts of all plans in one session.
fn together(network: &dyn Network, tokenizer: &Tokenizer, stop: &str, plans: &[Plan]) -> Vec<Written> {
    let mut session = Session::new(network, &Device::Cpu).unwrap();
    let mut written = vec![Written::default(); plans.len()];
    let mut owners: BTreeMap<TextId, usize> = BTreeMap::new();
    let mut away = BTreeMap::new();
    for step in 0..80 {
        for (number, plan) in plans.iter().enumerate() {
            let pause = plan.pause.map(|(leaves, stays)| (plan.joins + leaves, plan.joins + leaves + stays));
            if step == plan.joins {
                let text = text(network, tokenizer, &plan.prompt, stop, plan.seed);
                owners.insert(session.join(text, plan.options.clone()), number);
            }
            if pause.is_some_and(|(leaves, _)| step == leaves) && written[number].finish.is_none() {
                let (&id, _) = owners.iter().find(|&(_, &owner)| owner == number).unwrap();
                away.insert(number, session.leave(id).unwrap().expect("it has not ended"));
            }
            if pause.is_some_and(|(_, returns)| step == returns)
                && let Some(text) = away.remove(&number)
            {
                let length = plan.options.length - written[number].tokens.len();
                owners.insert(session.join(text, TextOptions { length, ..plan.options.clone() }), number);
            }
        }
        session.step().unwrap().into_iter().for_each(|event| written[owners[&event.id]].add(&event));
    }
    assert!(session.is_empty() && away.is_empty());
    written
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn texts_are_to_the_bit_what_they_are_alone(
        plans in prop::collection::vec(plan(), 1..9),
        seed: u64,
        kind in 0..KINDS,
    ) {
        let tokenizer = tokenizer("abcdef");
        let network = network(kind, tokenizer.vocabulary_size(), seed);
        prop_assert_eq!(network.stream().unwrap().is_some(), kind % 2 == 0);
        let together = together(network.as_ref(), &tokenizer, "de", &plans);
        for (plan, together) in plans.iter().zip(together) {
            let text = text(network.as_ref(), &tokenizer, &plan.prompt, "de", plan.seed);
            prop_assert_eq!(together, alone(network.as_ref(), text, plan.options.clone()), "kind {}", kind);
        }
    }
}

#[test]
fn text_has_the_probability_of_its_tokens() {
    let tokenizer = tokenizer("abcdef");
    for kind in 0..KINDS {
        let network = network(kind, tokenizer.vocabulary_size(), 4);
        let options = TextOptions { end: None, ..options(12) };
        let written = alone(network.as_ref(), text(network.as_ref(), &tokenizer, "ab", "x", 5), options);
        assert_eq!((written.tokens.len(), written.finish), (12, Some(Finish::Length)));
        assert_eq!(written.shown, tokenizer.decode(&written.tokens));
        let mut before = tokenizer.encode_prompt("ab").unwrap().ids;
        for (&token, logprob) in written.tokens.iter().zip(written.logprobs) {
            let scores = scores_after(network.as_ref(), END, &before);
            let exponentials = scores.iter().map(|&score| f64::from(score).exp());
            let expected = (f64::from(scores[token as usize]).exp() / exponentials.sum::<f64>()).ln();
            assert!((logprob - expected).abs() < 1e-3, "kind {kind}: {logprob} is not {expected}");
            before.push(token);
        }
    }
}

#[test]
fn long_prompt_delays_others_by_one_window_a_step() {
    let tokenizer = tokenizer("abcdef");
    let network = network(0, tokenizer.vocabulary_size(), 1);
    let text = |prompt: &str| text(network.as_ref(), &tokenizer, prompt, "x", 1);
    let mut session = Session::new(network.as_ref(), &Device::Cpu).unwrap();
    let unended = TextOptions { end: None, ..options(9) };
    let short = session.join(text("ab"), unended.clone());
    session.step().unwrap();
    let long = session.join(text(&"a".repeat(3 * WINDOW + 1)), unended.clone());
    let behind = session.join(text("c"), unended);
    for step in 0..4 {
        let events = session.step().unwrap();
        assert_eq!(events.iter().any(|event| event.id == long), step == 3, "step {step}");
        assert_eq!(events.iter().any(|event| event.id == behind), step == 3, "step {step}");
        assert_eq!(events.iter().filter(|event| event.id == short).count(), 1);
    }
    assert_eq!(session.len(), 3);
}

#[test]
fn samples_of_one_prompt_are_those_of_single_texts() {
    let tokenizer = tokenizer("abcdef");
    let network = network(2, tokenizer.vocabulary_size(), 1);
    let prompt = "abc".repeat(200);
    let mut session = Session::new(network.as_ref(), &Device::Cpu).unwrap();
    let shared = text(network.as_ref(), &tokenizer, &prompt, "x", 0);
    let ids = session.join_all(shared, options(8), (1..4).map(|seed| text_rng(seed, &prompt, 0)));
    // One leaves before the prompt has been read, and continues elsewhere.
    session.step().unwrap();
    let left = session.leave(ids[1]).unwrap().unwrap();
    let mut written = finish(&mut session);
    assert_eq!(written.keys().copied().collect::<Vec<_>>(), [ids[0], ids[2]]);
    written.insert(ids[1], alone(network.as_ref(), left, options(8)));
    for (seed, id) in (1..4).zip(&ids) {
        let single = text(network.as_ref(), &tokenizer, &prompt, "x", seed);
        assert_eq!(written[id], alone(network.as_ref(), single, options(8)), "seed {seed}");
    }
    assert!(ids.iter().any(|id| written[id] != written[&ids[0]]));
}

#[test]
fn scores_are_kept_until_the_next_step_and_ended_texts_until_they_leave() {
    let tokenizer = tokenizer("abcdef");
    let network = network(0, tokenizer.vocabulary_size(), 2);
    let mut session = Session::new(network.as_ref(), &Device::Cpu).unwrap();
    let greedy = Sampling { temperature: 0., ..Sampling::default() };
    let options = TextOptions { sampling: greedy, end: None, resumable: true, ..options(1) };
    let id = session.join(text(network.as_ref(), &tokenizer, "ab", "x", 1), options);
    assert_eq!(session.scores(id), None);
    session.step().unwrap();
    let expected = scores_after(network.as_ref(), END, &tokenizer.encode_prompt("ab").unwrap().ids);
    assert_eq!(session.scores(id).expect("it has just ended"), expected);
    assert_eq!(session.step().unwrap(), []);
    assert_eq!(session.scores(id), None);
    assert!(session.leave(id).unwrap().is_some() && session.leave(id).unwrap().is_none());
}

#[test]
fn failing_text_ends_alone() {
    let tokenizer = tokenizer("abc");
    let network = network(0, tokenizer.vocabulary_size(), 4);
    let mut session = Session::new(network.as_ref(), &Device::Cpu).unwrap();
    let text = || text(network.as_ref(), &tokenizer, "a", "x", 1);
    let fails = session.join(text(), TextOptions { banned: (0..9).collect(), ..options(5) });
    let other = session.join(text(), options(5));
    let written = finish(&mut session);
    assert_eq!((written[&fails].finish, &written[&fails].tokens), (Some(Finish::Failed), &vec![]));
    assert_eq!(written[&other], alone(network.as_ref(), text(), options(5)));
}
