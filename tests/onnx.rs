//! ONNX: exported parameters come back to the byte, what ONNX does not have is refused, and files for
//! `scripts/interop/onnx`, which compares outputs with ONNX Runtime's.

mod files;
mod hostile;
mod nodes;
mod proto;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use rand::RngExt;
use rnn_zoo::bundle::{Config, FORMAT, Quantisation};
use rnn_zoo::formats::onnx;
use rnn_zoo::models::{
    CharactersConfig, ColumnConfig, ForecasterConfig, GruConfig, GruOptions, Head, Inputs, LstmConfig,
    LstmOptions, Merge, ModelConfig, Nonlinearity, PointLoss, PredictorConfig, Readout, RecurrentConfig,
    Reset, RnnlmConfig, Series, SimpleRnnConfig, SimpleRnnOptions, StackOptions, State, TaggerConfig, Words,
};
use rnn_zoo::parameters::{NamedTensors, Parameters};
use rnn_zoo::rng::{Purpose, Rng, stream};

use crate::random_layer::random;

const BATCH: usize = 3;
const TIME: usize = 7;
const LENGTHS: [usize; BATCH] = [7, 1, 4];
const VOCABULARY: usize = 11;

/// A network whose parameters and inputs are random.
struct Case {
    name: String,
    config: Config,
    parameters: NamedTensors,
}

impl Case {
    fn new(name: String, network: ModelConfig, rng: &mut Rng) -> Self {
        let (map, builder) = Parameters::builder(DType::F32, &Device::Cpu);
        network.build(builder).unwrap();
        let parameters = Parameters::from(&map).to_tensors().unwrap().into_iter();
        let mut draw = |tensor: &Tensor| random(tensor.dims(), DType::F32, rng).unwrap();
        let parameters = parameters.map(|(name, tensor)| (name, draw(&tensor))).collect();
        let task = match network {
            ModelConfig::Rnnlm(_) => "lm",
            ModelConfig::Predictor(_) => "classify",
            ModelConfig::Tagger(_) => "tag",
            ModelConfig::Forecaster(_) => "forecast",
            ModelConfig::Translator(_) => "translate",
        };
        let config = Config {
            format: FORMAT,
            model: "gru".into(),
            task: serde_json::from_value(task.into()).unwrap(),
            network,
            tokenizer: None,
            labels: vec!["a".into(), "\u{e4}".into()],
            text_column: None,
            schema: serde_json::Value::Null,
            data: None,
            converted_from: None,
            stored: None,
            dtype: DType::F32,
            zoo_version: "0.1.0".into(),
            created_with: String::new(),
        };
        Self { name, config, parameters }
    }

    fn encode(&self) -> Vec<u8> {
        onnx::encode(&self.config, &self.parameters).unwrap()
    }

    /// The same network with its matrices rounded to int8.
    fn in_int8(mut self) -> Self {
        self.name = format!("int8-{}", self.name);
        self.config.stored = Some(Quantisation::Int8);
        self.parameters = onnx::decode(Path::new("a.onnx"), &self.encode()).unwrap().parameters;
        self
    }
}

/// Every kind of cell over the options of a stack.
fn stacks(options: &StackOptions) -> Vec<(&'static str, RecurrentConfig)> {
    let relu = SimpleRnnOptions { nonlinearity: Nonlinearity::Relu };
    let before = GruOptions { reset: Reset::Before, chrono: None };
    vec![
        ("tanh", RecurrentConfig::SimpleRnn(SimpleRnnConfig::from(options.clone()))),
        ("relu", RecurrentConfig::SimpleRnn(options.clone().with_cell(relu))),
        ("lstm", RecurrentConfig::Lstm(LstmConfig::from(options.clone()))),
        ("gru", RecurrentConfig::Gru(GruConfig::from(options.clone()))),
        ("gru-before", RecurrentConfig::Gru(options.clone().with_cell(before))),
    ]
}

fn language_models() -> Vec<(String, ModelConfig)> {
    let mut cases = vec![];
    for (layers, bias, tied) in [(1, true, false), (2, false, false), (2, true, true)] {
        let options = StackOptions { num_layers: layers, bias, ..StackOptions::new(4, 5) };
        for (cell, rnn) in stacks(&options) {
            let config = RnnlmConfig { tied, ..RnnlmConfig::new(VOCABULARY, rnn) };
            cases.push((format!("lm-{cell}-{layers}-{bias}-{tied}"), ModelConfig::Rnnlm(config)));
        }
    }
    cases
}

fn classifiers() -> Vec<(String, ModelConfig)> {
    let mut cases = vec![];
    let merges = [None, Some(Merge::Concat), Some(Merge::Sum), Some(Merge::Mul), Some(Merge::Ave)];
    let readouts = [Readout::Every, Readout::Last, Readout::Mean, Readout::Max, Readout::Attention];
    for (bidirectional, readout) in merges.into_iter().flat_map(|merge| readouts.map(|to| (merge, to))) {
        let vocabulary_size = (readout != Readout::Max).then_some(VOCABULARY);
        let options = StackOptions { num_layers: 2, bidirectional, ..StackOptions::new(4, 5) };
        for (cell, rnn) in stacks(&options) {
            let config =
                PredictorConfig { vocabulary_size, dropout: 0.5, ..PredictorConfig::new(3, readout, rnn) };
            let name = format!("classify-{cell}-{bidirectional:?}-{readout:?}");
            cases.push((name, ModelConfig::Predictor(config)));
        }
    }
    cases
}

fn taggers() -> Vec<(String, ModelConfig)> {
    let both = |input, hidden| StackOptions {
        bidirectional: Some(Merge::Concat),
        ..StackOptions::new(input, hidden)
    };
    let tagger = |(crf, (cell, rnn)): (bool, (&str, RecurrentConfig))| {
        let config = TaggerConfig {
            vocabulary_size: VOCABULARY,
            embedding_size: 3,
            characters: Some(CharactersConfig {
                vocabulary_size: VOCABULARY,
                rnn: rnn.same_cell(both(3, 4)),
            }),
            columns: vec![ColumnConfig { vocabulary_size: VOCABULARY, embedding_size: 2 }],
            outputs: 4,
            crf,
            dropout: 0.,
            rnn,
        };
        (format!("tag-{cell}-{crf}"), ModelConfig::Tagger(config))
    };
    let stacks = || stacks(&both(3 + 8 + 2, 5));
    [true, false]
        .into_iter()
        .flat_map(|crf| stacks().into_iter().map(move |rnn| (crf, rnn)))
        .map(tagger)
        .collect()
}

fn forecasters() -> Vec<(String, ModelConfig)> {
    let mean = || Head::Mean { loss: PointLoss::Mse };
    let student = || Head::StudentT { levels: vec![0.5] };
    let quantiles = || Head::Quantiles { levels: vec![0.1, 0.9] };
    let mut cases = vec![];
    for (number, (segment, known, series, head, linear)) in [
        (None, 0, 0, mean(), false),
        (None, 2, 0, student(), true),
        (Some(2), 0, 0, mean(), false),
        (Some(2), 0, 3, quantiles(), true),
        (Some(3), 2, 3, student(), true),
    ]
    .into_iter()
    .enumerate()
    {
        let channels = 1 + known;
        let input = if segment.is_some() { 4 } else { channels };
        for (cell, rnn) in stacks(&StackOptions { num_layers: 2, ..StackOptions::new(input, 4) }) {
            let head = head.clone();
            let (window, horizon, dropout) = (6, 5, 0.);
            let config = ForecasterConfig {
                window,
                horizon,
                segment,
                channels,
                known,
                series,
                head,
                linear,
                dropout,
                rnn,
            };
            cases.push((format!("forecast-{cell}-{number}"), ModelConfig::Forecaster(config)));
        }
    }
    cases
}

fn cases() -> Vec<Case> {
    let networks = [language_models(), classifiers(), taggers(), forecasters()].into_iter().flatten();
    let case = |(index, (name, network))| {
        Case::new(name, network, &mut stream(index as u64, Purpose::Parameters, 0))
    };
    networks.enumerate().map(case).collect()
}

fn bits(tensor: &Tensor) -> (Vec<usize>, Vec<u32>) {
    let elements = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    (tensor.dims().to_vec(), elements.into_iter().map(f32::to_bits).collect())
}

#[test]
fn onnx_keeps_every_byte_of_the_parameters_in_f32_and_in_int8() {
    for case in cases().into_iter().chain(cases().into_iter().map(Case::in_int8)) {
        let found = onnx::decode(Path::new("a.onnx"), &case.encode()).unwrap();
        assert_eq!(found.config, case.config, "{}", case.name);
        assert!(
            found.parameters.keys().eq(case.parameters.keys()),
            "{}: {:?}",
            case.name,
            found.parameters.keys()
        );
        for (name, tensor) in &case.parameters {
            assert!(bits(&found.parameters[name]) == bits(tensor), "{}: {name}", case.name);
        }
    }
}

#[test]
fn parts_that_onnx_does_not_have_are_refused_by_name() {
    let plain = || StackOptions::new(4, 5);
    let projected = LstmOptions { projection: Some(3), ..LstmOptions::default() };
    for (rnn, part) in [
        (LstmConfig::from(StackOptions { layer_norm: true, ..plain() }), "layer normalisation"),
        (LstmConfig::from(StackOptions { zoneout: 0.1, ..plain() }), "zoneout"),
        (plain().with_cell(projected), "a projection of its hidden state"),
    ] {
        let network = ModelConfig::Rnnlm(RnnlmConfig::new(VOCABULARY, RecurrentConfig::Lstm(rnn)));
        let case = Case::new(part.into(), network, &mut stream(0, Purpose::Parameters, 0));
        let error = onnx::encode(&case.config, &case.parameters).unwrap_err().to_string();
        assert!(error.contains(&format!("the recurrent stack has {part}")), "{error}");
    }
}

#[test]
fn damaged_onnx_files_are_one_line_and_never_panic() {
    let case = &cases()[2]; // an LSTM
    let whole = case.encode();
    let problem = |bytes: &[u8]| {
        let error = onnx::decode(Path::new("a.onnx"), bytes).unwrap_err().to_string();
        assert!(error.starts_with("a.onnx: ") && error.lines().count() == 1, "{error}");
        error
    };
    for length in 0..whole.len() {
        problem(&whole[..length]);
    }
    // A length of 4 GB in front of a graph: nothing is allocated for it.
    assert!(problem(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]).contains("is cut short or not an ONNX file"));
    assert!(problem(b"").contains("expected a file that this program exported"));
    let mut rng = stream(1, Purpose::Parameters, 0);
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..rng.random_range(1..4) {
            let place = rng.random_range(0..bytes.len());
            bytes[place] = rng.random();
        }
        if let Err(error) = onnx::decode(Path::new("a.onnx"), &bytes) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
    let mut parameters = case.parameters.clone();
    parameters.insert("decoder.bias".into(), Tensor::full(f32::NAN, VOCABULARY, &Device::Cpu).unwrap());
    let error = problem(&onnx::encode(&case.config, &parameters).unwrap());
    assert!(error.contains("tensor decoder.bias holds NaN or infinity"), "{error}");
}

/// Inputs and outputs of a case, under their names in the graph with `in.` or `out.` before them.
fn values(case: &Case, rng: &mut Rng) -> Result<HashMap<String, Tensor>> {
    let network = case.config.network.build(candle_nn::VarBuilder::from_tensors(
        case.parameters.clone().into_iter().collect(),
        DType::F32,
        &Device::Cpu,
    ))?;
    let mut values = HashMap::new();
    let mut put = |name: &str, tensor: &Tensor| {
        let tensor =
            if tensor.dtype() == DType::U32 { tensor.to_dtype(DType::I64) } else { Ok(tensor.clone()) };
        tensor.and_then(|tensor| tensor.contiguous()).map(|tensor| values.insert(name.to_string(), tensor))
    };
    let mut indices = |rows: usize, columns: usize, below: usize| {
        let drawn = (0..rows * columns).map(|_| rng.random_range(0..below as u32)).collect::<Vec<_>>();
        Tensor::from_vec(drawn, (rows, columns), &Device::Cpu)
    };
    let steps = |lengths: &[usize]| {
        Tensor::new(lengths.iter().map(|&length| length as u32).collect::<Vec<_>>(), &Device::Cpu)
    };
    let mut lengths = Some(&LENGTHS[..]);
    let inputs = match &case.config.network {
        ModelConfig::Tagger(_) => {
            let words = Words {
                tokens: indices(BATCH, TIME, VOCABULARY)?,
                columns: vec![indices(BATCH, TIME, VOCABULARY)?],
                spellings: indices(BATCH, TIME, 4)?,
                characters: indices(4, 5, VOCABULARY)?,
                character_counts: vec![5, 1, 3, 2],
            };
            put("in.tokens", &words.tokens)?;
            put("in.columns.0", &words.columns[0])?;
            put("in.spellings", &words.spellings)?;
            put("in.characters", &words.characters)?;
            put("in.character_counts", &steps(&words.character_counts)?)?;
            Inputs::Words(words)
        }
        ModelConfig::Forecaster(config) => {
            lengths = None;
            let ids = indices(1, BATCH, config.series.max(1))?.squeeze(0)?;
            let past = random(&[BATCH, config.window, config.channels], DType::F32, rng)?;
            let future = (config.known > 0)
                .then(|| random(&[BATCH, config.horizon, config.known], DType::F32, rng))
                .transpose()?;
            put("in.past", &past)?;
            put("in.series", &ids)?;
            future.as_ref().map(|future| put("in.future", future)).transpose()?;
            Inputs::Series(Series { past, future, ids })
        }
        network => {
            let (name, xs) = match network.vocabulary_size() {
                Some(size) => ("in.tokens", indices(BATCH, TIME, size)?),
                None => ("in.features", random(&[BATCH, TIME, 4], DType::F32, rng)?),
            };
            put(name, &xs)?;
            Inputs::from(&xs)
        }
    };
    let streams = lengths.is_some() && case.config.network.rnn().stack().bidirectional.is_none();
    let state = match streams {
        true => {
            let State { h, c } = network.zero_state(BATCH)?;
            let mut draw = |zeros: &Tensor| random(zeros.dims(), DType::F32, rng);
            let state = State { h: draw(&h)?, c: c.as_ref().map(&mut draw).transpose()? };
            put("in.h0", &state.h)?;
            state.c.as_ref().map(|c| put("in.c0", c)).transpose()?;
            Some(state)
        }
        false => None,
    };
    lengths.map(|lengths| put("in.lengths", &steps(lengths)?)).transpose()?;
    let (hidden, last) = network.encode(&inputs, state.as_ref(), lengths)?;
    let outputs = network.outputs(&hidden)?;
    put(if lengths.is_some() { "out.logits" } else { "out.outputs" }, &outputs)?;
    if streams {
        put("out.hn", &last.h)?;
        last.c.as_ref().map(|c| put("out.cn", c)).transpose()?;
    }
    if let Some(crf) = network.crf() {
        put("out.transitions", crf.transitions())?;
    }
    Ok(values)
}

#[test]
#[ignore = "writes graphs with inputs and outputs to RNN_ZOO_ONNX, for scripts/interop/onnx"]
fn write_onnx_graphs_with_their_values() {
    let folder = std::env::var("RNN_ZOO_ONNX").expect("RNN_ZOO_ONNX names an empty folder");
    let seed = std::env::var("RNN_ZOO_SEED").map_or(0, |seed| seed.parse().expect("a seed is a number"));
    let int8 = cases().into_iter().map(Case::in_int8);
    for (index, case) in cases().into_iter().chain(int8).enumerate() {
        let mut rng = stream(seed, Purpose::Parameters, index as u64);
        let path = Path::new(&folder).join(&case.name);
        let values = values(&case, &mut rng).unwrap();
        candle_core::safetensors::save(&values, path.with_extension("safetensors")).unwrap();
        std::fs::write(path.with_extension("onnx"), case.encode()).unwrap();
    }
}
