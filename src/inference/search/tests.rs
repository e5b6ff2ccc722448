use candle_core::{DType, Device};
use rnn_zoo_models::{
    AttentionScore, GruConfig, Merge, ModelConfig, Network, RecurrentConfig, StackOptions, TranslatorConfig,
};

use super::*;
use crate::parameters;
use crate::rng::{Purpose, stream};

const START: u32 = 1;
const END: u32 = 1;
const VOCABULARY: usize = 4;
const LENGTH: usize = 3;

/// A network whose texts differ in probability.
fn network(seed: u64) -> Box<dyn Network> {
    let stack = StackOptions { bidirectional: Some(Merge::Concat), ..StackOptions::new(3, 5) };
    let config = ModelConfig::Translator(TranslatorConfig {
        source_vocabulary: 6,
        target_vocabulary: VOCABULARY,
        score: AttentionScore::General,
        tied: false,
        shared: false,
        dropout: 0.,
        rnn: RecurrentConfig::Gru(GruConfig::from(stack)),
    });
    let (network, variables) = parameters::build(&config, DType::F64, &Device::Cpu).unwrap();
    network.reset_parameters(&mut stream(seed, Purpose::Parameters, 0)).unwrap();
    let larger: parameters::NamedTensors = variables.to_tensors().unwrap();
    let larger = larger.into_iter().map(|(name, tensor)| (name, (tensor * 6.).unwrap())).collect();
    variables.set_all(&larger).unwrap();
    network
}

fn search(beams: usize, length_penalty: f64) -> Search {
    let options = SearchOptions { beams, length_penalty };
    Search { options, start: START, end: END, keeps_weights: true }
}

fn sources() -> (Tensor, Vec<usize>) {
    let tokens = Tensor::new(&[[2u32, 3, 4, 1], [5, 1, 0, 0], [3, 3, 1, 0]], &Device::Cpu).unwrap();
    (tokens, vec![4, 2, 3])
}

fn found(network: &dyn Network, search: &Search, limit: usize) -> Vec<SearchResult> {
    let (tokens, lengths) = sources();
    let limits = vec![limit; lengths.len()];
    let sources = Sources { tokens: &tokens, lengths: Some(&lengths), words: &[3, 1, 2], limits: &limits };
    search.run(network.sequence_to_sequence().unwrap(), sources).unwrap()
}

/// The log-probability of a text, `ended` with `<eos>`, one token at a time.
fn logprob(network: &dyn Network, source: usize, text: &[u32], ended: bool) -> f64 {
    let network = network.sequence_to_sequence().unwrap();
    let (tokens, lengths) = sources();
    let tokens = tokens.narrow(0, source, 1).unwrap();
    let (memory, mut state) = network.read_source(&tokens, Some(&lengths[source..=source])).unwrap();
    let (mut before, mut sum) = (START, 0.);
    for &token in text.iter().chain(ended.then_some(&END)) {
        let step = network.write_step(&[before], &memory, &state).unwrap();
        let scores: Vec<f64> = step.scores.squeeze(0).unwrap().to_vec1().unwrap();
        let total: f64 = scores.iter().map(|score| score.exp()).sum();
        sum += (scores[token as usize].exp() / total).ln();
        (before, state) = (token, step.state);
    }
    sum
}

/// All texts of at most `LENGTH` tokens, and whether they end with `<eos>`: those of the greatest length need not.
fn all_texts() -> Vec<(Vec<u32>, bool)> {
    let mut all = vec![];
    let mut open = vec![vec![]];
    for _ in 0..LENGTH {
        all.extend(open.iter().map(|text: &Vec<u32>| (text.clone(), true)));
        let tokens = (0..VOCABULARY as u32).filter(|&token| token != END);
        open = open
            .iter()
            .flat_map(|text| tokens.clone().map(move |token| [&text[..], &[token]].concat()))
            .collect();
    }
    all.extend(open.into_iter().map(|text| (text, false)));
    all
}

#[test]
fn a_wide_beam_finds_the_best_of_all_texts() {
    for seed in 0..6 {
        let network = network(seed);
        for length_penalty in [0., 0.6, 1., 2.] {
            let texts = all_texts();
            let found = found(network.as_ref(), &search(texts.len(), length_penalty), LENGTH);
            for (source, found) in found.iter().enumerate() {
                let score = |(text, ended): &(Vec<u32>, bool)| {
                    let length = (text.len() + usize::from(*ended)) as f64;
                    logprob(network.as_ref(), source, text, *ended) / length.powf(length_penalty)
                };
                let best = texts.iter().map(|text| (score(text), &text.0));
                let best = best.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
                assert_eq!(&found.tokens, best.1, "seed {seed}, penalty {length_penalty}, source {source}");
                assert!((found.score - best.0).abs() < 1e-5, "{} is not {}", found.score, best.0);
            }
        }
    }
}

#[test]
fn one_beam_takes_the_most_probable_token_at_every_step() {
    for seed in 0..6 {
        let network = network(seed);
        for (source, found) in found(network.as_ref(), &search(1, 1.), 8).into_iter().enumerate() {
            let mut text = vec![];
            while text.len() < 8 {
                let next = (0..VOCABULARY as u32).max_by(|&a, &b| {
                    let extended =
                        |token| logprob(network.as_ref(), source, &[&text[..], &[token]].concat(), false);
                    extended(a).total_cmp(&extended(b))
                });
                match next {
                    Some(END) => break,
                    next => text.extend(next),
                }
            }
            assert_eq!(found.tokens, text, "seed {seed}, source {source}");
            assert_eq!(
                (found.attended.len(), found.weights.len()),
                (text.len(), text.len() + usize::from(text.len() < 8))
            );
            let (_, lengths) = sources();
            assert!(found.attended.iter().all(|&place| place + 1 < lengths[source]));
        }
    }
}

#[test]
fn sources_side_by_side_are_translated_as_alone() {
    let network = network(9);
    let (tokens, lengths) = sources();
    for beams in [1, 3] {
        let together = found(network.as_ref(), &search(beams, 1.), 6);
        for (row, together) in together.iter().enumerate() {
            let alone = tokens.narrow(0, row, 1).unwrap().narrow(1, 0, lengths[row]).unwrap();
            let words = [lengths[row] - 1];
            let sources = Sources { tokens: &alone, lengths: None, words: &words, limits: &[6] };
            let alone =
                search(beams, 1.).run(network.sequence_to_sequence().unwrap(), sources).unwrap().remove(0);
            assert_eq!((&alone.tokens, &alone.attended), (&together.tokens, &together.attended));
            assert!((alone.score - together.score).abs() < 1e-5);
        }
    }
}

#[test]
fn invalid_options_are_named() {
    let problem =
        |beams, length_penalty| SearchOptions { beams, length_penalty }.validate().unwrap_err().to_string();
    assert!(problem(0, 1.).starts_with("beams: 0; expected 1 to 256"));
    assert!(problem(257, 1.).starts_with("beams: "));
    assert!(problem(2, f64::NAN).starts_with("length_penalty: "));
}
