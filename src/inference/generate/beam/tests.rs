use candle_core::Device;
use proptest::prelude::*;
use rnn_zoo_models::{Network, State};

use super::super::fixture::{KINDS, network, scores_after, tokenizer};
use super::super::{Sampling, Session, Text, TextOptions, text_rng};
use super::*;
use crate::tokenizer::Tokenizer;

const UNKNOWN: u32 = 0;
const END: u32 = 1;

fn search(beams: usize, length_penalty: f64, length: usize) -> BeamSearch {
    BeamSearch { beams, length_penalty, length, end: Some(END), banned: vec![UNKNOWN] }
}

fn found(
    search: &BeamSearch,
    network: &dyn Network,
    tokenizer: &Tokenizer,
    stops: &[String],
) -> Vec<Hypothesis> {
    let context = Context::new(network, END).unwrap();
    let mut reader = Reader::new(network, &Device::Cpu).unwrap();
    search.search(&mut reader, &context, Transcript::new(tokenizer, stops)).unwrap()
}

/// The log-probabilities of the token after some tokens.
fn next(network: &dyn Network, tokens: &[u32]) -> Vec<f64> {
    let scores = scores_after(network, END, tokens);
    let exponentials: Vec<f64> = scores.iter().map(|&score| f64::from(score).exp()).collect();
    exponentials.iter().map(|e| (e / exponentials.iter().sum::<f64>()).ln()).collect()
}

/// All texts of at most `length` tokens that begin with `tokens`, each with its end and its log-probability.
fn all(
    network: &dyn Network,
    tokenizer: &Tokenizer,
    stop: Option<&str>,
    (tokens, logprob): (Vec<u32>, f64),
    length: usize,
) -> Vec<(Vec<u32>, Finish, f64)> {
    let text = tokenizer.decode(&tokens);
    if stop.is_some_and(|stop| text.ends_with(stop)) {
        return vec![(tokens, Finish::Stop, logprob)];
    }
    if tokens.len() == length {
        return vec![(tokens, Finish::Length, logprob)];
    }
    let next = next(network, &tokens);
    let mut texts = vec![(tokens.clone(), Finish::Eos, logprob + next[END as usize])];
    for token in 2..next.len() as u32 {
        let longer = ([tokens.as_slice(), &[token]].concat(), logprob + next[token as usize]);
        texts.extend(all(network, tokenizer, stop, longer, length));
    }
    texts
}

#[test]
fn wide_beam_finds_all_texts_best_first() {
    let tokenizer = tokenizer("abc");
    for kind in 0..KINDS {
        let network = network(kind, tokenizer.vocabulary_size(), 7);
        for (length_penalty, stop) in [(0., None), (1., None), (2.5, Some("ca")), (-1., Some("b"))] {
            let texts = all(network.as_ref(), &tokenizer, stop, (vec![], 0.), 4);
            let mut expected: Vec<(f64, Vec<u32>, Finish)> = texts
                .into_iter()
                .map(|(tokens, finish, logprob)| {
                    let length = tokens.len() + usize::from(finish == Finish::Eos);
                    (logprob / (length as f64).powf(length_penalty), tokens, finish)
                })
                .collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0));
            let stops: Vec<String> = stop.map(str::to_string).into_iter().collect();
            let wide = search(expected.len() + 1, length_penalty, 4);
            let found = found(&wide, network.as_ref(), &tokenizer, &stops);
            assert_eq!(found.len(), expected.len(), "kind {kind}, {length_penalty}, {stop:?}");
            for (found, (score, tokens, finish)) in found.iter().zip(&expected) {
                assert!((found.score - score).abs() < 1e-6, "{found:?} has not {score}");
                assert_eq!((&found.tokens, found.finish), (tokens, *finish), "kind {kind}, {length_penalty}");
                let whole = tokenizer.decode(tokens);
                let cut = stop.and_then(|stop| whole.strip_suffix(stop)).filter(|_| *finish == Finish::Stop);
                assert_eq!(found.text, cut.unwrap_or(&whole));
            }
        }
    }
}

#[test]
fn one_beam_is_the_greedy_text() {
    let tokenizer = tokenizer("abcdef");
    let stops = ["ab".to_string()];
    let mut ends = vec![];
    for (kind, seed) in (0..KINDS).flat_map(|kind| (0..12).map(move |seed| (kind, seed))) {
        let network = network(kind, tokenizer.vocabulary_size(), seed);
        let options = TextOptions {
            sampling: Sampling { temperature: 0., ..Sampling::default() },
            banned: vec![UNKNOWN],
            length: 9,
            end: Some(END),
            ..TextOptions::default()
        };
        let mut session = Session::new(network.as_ref(), &Device::Cpu).unwrap();
        session
            .join(Text::new(network.as_ref(), &tokenizer, END, &stops, text_rng(1, "", 0)).unwrap(), options);
        let (mut tokens, mut text, mut finish) = (vec![], String::new(), None);
        while !session.is_empty() {
            for event in session.step().unwrap() {
                tokens.extend(event.token);
                text.push_str(&event.shown);
                finish = event.finish;
            }
        }
        let found = found(&search(1, 1., 9), network.as_ref(), &tokenizer, &stops);
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].tokens, &found[0].text, Some(found[0].finish)), (&tokens, &text, finish));
        ends.push(found[0].finish);
    }
    assert!(ends.iter().any(|&finish| finish != Finish::Length), "{ends:?}");
}

#[test]
fn found_texts_have_the_stated_probability() {
    let tokenizer = tokenizer("abcdef");
    for kind in 0..KINDS {
        let network = network(kind, tokenizer.vocabulary_size(), 11);
        let found = found(&search(5, 1., 8), network.as_ref(), &tokenizer, &[]);
        assert_eq!(found.len(), 5);
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        for (at, hypothesis) in found.iter().enumerate() {
            let mut tokens = hypothesis.tokens.clone();
            tokens.extend((hypothesis.finish == Finish::Eos).then_some(END));
            let expected: f64 =
                (0..tokens.len()).map(|at| next(network.as_ref(), &tokens[..at])[tokens[at] as usize]).sum();
            assert!((hypothesis.logprob - expected).abs() < 1e-4, "{hypothesis:?}: {expected}");
            assert!(found[..at].iter().all(|other| other.tokens != hypothesis.tokens));
        }
    }
}

#[test]
fn beams_may_exceed_texts_and_length_may_be_zero() {
    let tokenizer = tokenizer("ab");
    let network = network(0, tokenizer.vocabulary_size(), 1);
    assert_eq!(found(&search(100, 1., 1), network.as_ref(), &tokenizer, &[]).len(), 3);
    let none = found(&search(4, 1., 0), network.as_ref(), &tokenizer, &[]);
    assert_eq!((none.len(), none[0].text.as_str(), none[0].score), (1, "", 0.));
    for (beams, length_penalty, field) in
        [(0, 1., "beams"), (usize::MAX, 1., "beams"), (2, f64::NAN, "length_penalty")]
    {
        let problem = search(beams, length_penalty, 3).validate().unwrap_err().to_string();
        assert!(problem.starts_with(field), "{problem}");
    }
}

#[test]
fn nan_scores_and_too_many_beams_are_errors() {
    let tokenizer = tokenizer("abc");
    let problem = |search: BeamSearch, vocabulary| {
        let network = network(0, vocabulary, 4);
        let mut reader = Reader::new(network.as_ref(), &Device::Cpu).unwrap();
        let context = Context::new(network.as_ref(), END).unwrap();
        let found = search.search(&mut reader, &context, Transcript::new(&tokenizer, &[]));
        found.unwrap_err().to_string()
    };
    let none = problem(BeamSearch { banned: (0..9).collect(), ..search(3, 1., 4) }, 5);
    assert!(none.contains("no token to write"), "{none}");
    let many = problem(search(4096, 1., 4), 70_000);
    assert_eq!(many, "beams: 4096 over 70000 tokens would fill the memory; expected at most 3834");
}

proptest! {
    #[test]
    fn candidates_come_sorted(seed: u64, most in 1..80usize, same: bool) {
        let network = network(0, 61, seed);
        let mut reader = Reader::new(network.as_ref(), &Device::Cpu).unwrap();
        let state = network.zero_state(1).unwrap();
        reader.append(&State::join(&[state.clone(), state.clone(), state]).unwrap()).unwrap();
        // Two equal texts have candidates of equal probability.
        reader.read(&[7, if same { 7 } else { 8 }, 9]).unwrap();
        let lacks = [-1.5, -1.5, -2.];
        let mut expected: Vec<Candidate> = (0..3)
            .flat_map(|parent| (0..61).map(move |token| (parent, token)))
            .filter(|(_, token)| *token != UNKNOWN)
            .map(|(parent, token)| {
                let logprob = f64::from(reader.scores(parent)[token as usize]) + lacks[parent];
                Candidate { logprob, parent, token }
            })
            .collect();
        expected.sort_by(|a, b| {
            b.logprob.total_cmp(&a.logprob).then((a.parent, a.token).cmp(&(b.parent, b.token)))
        });
        let best = |last: Option<&Candidate>| {
            let texts = (0..3).map(|parent| {
                Extensions { parent, offset: lacks[parent], scores: reader.scores(parent) }
            });
            best(most, last, texts, |token| token != UNKNOWN)
        };
        let mut last: Option<Candidate> = None;
        for expected in expected.chunks(most) {
            let best = best(last.as_ref());
            let of = |candidates: &[Candidate]| -> Vec<(usize, u32)> {
                candidates.iter().map(|candidate| (candidate.parent, candidate.token)).collect()
            };
            prop_assert_eq!(of(&best), of(expected));
            last = best.last().copied();
        }
        prop_assert!(best(last.as_ref()).is_empty());
    }
}
