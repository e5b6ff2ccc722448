use candle_core::Device;
use rnn_zoo_models::Network;

use super::super::fixture::{KINDS, network, tokenizer};
use super::*;
use crate::rng::{Purpose, stream};
use crate::tokenizer::{Prompt, Tokenizer};

/// What came of each text: tokens, what was shown, the log-probability and the end.
type Came = (Vec<u32>, String, f64, Option<Finish>);

fn write(writer: &Writer, reader: &mut Reader<'_>, texts: &mut [Text<'_>]) -> Vec<Came> {
    let mut came: Vec<Came> = vec![(vec![], String::new(), 0., None); texts.len()];
    let mut gains = |gain: Gain<'_>| {
        let (tokens, shown, logprob, finish) = &mut came[gain.text];
        assert_eq!(*finish, None, "a text gains nothing after its end");
        tokens.extend(gain.token);
        shown.push_str(gain.shown);
        *logprob += gain.logprob;
        *finish = gain.finish;
        Ok(())
    };
    writer.write(reader, texts, &mut gains).unwrap();
    came
}

fn text<'t>(network: &dyn Network, tokenizer: &'t Tokenizer, prompt: &str, stop: &str) -> Text<'t> {
    let Prompt { ids, .. } = tokenizer.encode_prompt(prompt).unwrap();
    let mut context = Context::new(network, 1).unwrap();
    context.read(network, &ids, &Device::Cpu).unwrap();
    let transcript = Transcript::new(tokenizer, &[stop.to_string()]);
    Text { context, rng: stream(5, Purpose::Sampling, 0), transcript }
}

#[test]
fn texts_side_by_side_are_what_they_are_alone() {
    let tokenizer = tokenizer("abcdef");
    let sampling = Sampling { repetition_penalty: 1.3, min_p: Some(0.01), ..Sampling::default() };
    let writer =
        Writer { sampling, banned: vec![0], length: 25, end: Some(1), logprobs: true, ..Writer::default() };
    let prompts = ["", "a", "fedcba", "b", "a", "cc", "dd", "ee", "ff", "ab", "ba"];
    for kind in 0..KINDS {
        let network = network(kind, tokenizer.vocabulary_size(), 3);
        let texts = || prompts.map(|prompt| text(network.as_ref(), &tokenizer, prompt, "de"));
        let mut reader = Reader::new(network.as_ref(), &Device::Cpu).unwrap();
        let together = write(&writer, &mut reader, &mut texts());
        assert_eq!(together[1], together[4], "the same prompt has the same text");
        let ends = |finish| together.iter().filter(|came| came.3 == Some(finish)).count();
        assert!(ends(Finish::Length) < prompts.len(), "kind {kind}: some end before others");
        for (number, text) in texts().into_iter().enumerate() {
            // By the same reader, which keeps nothing of the texts before.
            let alone = write(&writer, &mut reader, &mut [text]);
            assert_eq!(alone[0], together[number], "kind {kind}, prompt {:?}", prompts[number]);
        }
    }
}

#[test]
fn a_text_has_the_probability_of_its_tokens() {
    let tokenizer = tokenizer("abcdef");
    for kind in 0..KINDS {
        let network = network(kind, tokenizer.vocabulary_size(), 4);
        let writer = Writer { banned: vec![0], length: 12, logprobs: true, ..Writer::default() };
        let mut reader = Reader::new(network.as_ref(), &Device::Cpu).unwrap();
        let came = write(&writer, &mut reader, &mut [text(network.as_ref(), &tokenizer, "ab", "x")]);
        let (tokens, shown, logprob, finish) = &came[0];
        assert_eq!((tokens.len(), *finish), (12, Some(Finish::Length)));
        assert_eq!(*shown, tokenizer.decode(tokens));
        let mut generator = super::super::Generator::new(
            network.as_ref(),
            1,
            &tokenizer.encode_prompt("ab").unwrap().ids,
            vec![],
            &Device::Cpu,
        )
        .unwrap();
        let mut expected = 0.;
        for &token in tokens {
            let scores = generator.scores();
            let exponentials = scores.iter().map(|&score| f64::from(score).exp());
            expected += (f64::from(scores[token as usize]).exp() / exponentials.sum::<f64>()).ln();
            generator.read(&[token]).unwrap();
        }
        assert!((logprob - expected).abs() < 1e-9, "{logprob} is not {expected}");
    }
}

#[test]
fn scores_that_are_no_numbers_are_an_error() {
    let tokenizer = tokenizer("abc");
    let network = network(0, tokenizer.vocabulary_size(), 4);
    let writer = Writer { banned: (0..9).collect(), length: 1, ..Writer::default() };
    let mut texts = [text(network.as_ref(), &tokenizer, "", "x")];
    let mut reader = Reader::new(network.as_ref(), &Device::Cpu).unwrap();
    let problem = writer.write(&mut reader, &mut texts, &mut |_| Ok(())).unwrap_err();
    assert!(problem.to_string().contains("no token to write"), "{problem}");
}
