//! Every layer against golden values from PyTorch, Keras, NumPy and plain Python, made by `scripts/golden/`.
//!
//! Each case runs in f32 and f64, with the fused kernels and without. Outputs and states must lie within 1e-5 of the
//! golden ones. Gradients must lie within 1e-4 times the largest element of the golden gradient of the same tensor: a
//! tolerance relative to each element would be too strict for elements near zero.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{
    AttentionDecoder, AttentionScore, AttentionState, Cell, Crf, Encoded, GruCell, GruOptions, LstmCell,
    LstmOptions, Merge, Network, Nonlinearity, RecurrentConfig, Reduction, Reset, Rnnlm, RnnlmConfig,
    SimpleRnnCell, SimpleRnnOptions, StackOptions, State,
};
use rnn_zoo::rng::{Purpose, stream};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const OUTPUT_TOLERANCE: f64 = 1e-5;
const GRADIENT_TOLERANCE: f64 = 1e-4;

#[test]
fn simple_rnn_matches_pytorch() -> Result<()> {
    check_layers("torch_simple_rnn", 17)
}

#[test]
fn lstm_matches_pytorch() -> Result<()> {
    check_layers("torch_lstm", 17)
}

#[test]
fn gru_matches_pytorch() -> Result<()> {
    check_layers("torch_gru", 9)
}

#[test]
fn simple_rnn_matches_keras() -> Result<()> {
    check_layers("keras_simple_rnn", 20)
}

#[test]
fn lstm_matches_keras() -> Result<()> {
    check_layers("keras_lstm", 20)
}

#[test]
fn gru_matches_keras_with_reset_before_and_after() -> Result<()> {
    check_layers("keras_gru", 40)
}

#[test]
fn layer_normalisation_matches_its_equations_in_every_cell() -> Result<()> {
    check_layers("layer_norm", 10)
}

#[test]
fn simple_rnn_matches_the_course_loop_over_ten_steps_and_eight_units() -> Result<()> {
    let cases = load::<LayerOptions>("course")?;
    assert_eq!(cases[0].kinds["output"]["ys"].dims(), [1, 10, 8]);
    check_layers("course", 1)
}

#[test]
fn rnnlm_matches_pytorch_untied_tied_and_penalised() -> Result<()> {
    check_cases("torch_rnnlm", 3, run_language_model)
}

#[test]
fn crf_matches_sums_over_all_sequences_of_tags() -> Result<()> {
    check_cases("crf", 3, run_crf)
}

#[test]
fn attention_with_input_feeding_matches_pytorch() -> Result<()> {
    check_cases("torch_attention", 12, run_attention)
}

/// One case of a fixture file: the options that build its layer, and its tensors by kind and name.
pub struct Case<O> {
    pub name: String,
    pub options: O,
    pub kinds: BTreeMap<String, BTreeMap<String, Tensor>>,
}

/// The results of a layer for a case's inputs.
struct Outcome {
    outputs: Vec<(&'static str, Tensor)>,
    /// The scalar whose gradients the case stores, if it stores any.
    loss: Option<Tensor>,
}

/// Options as `fixtures.py` writes them.
#[derive(Deserialize)]
struct LayerOptions {
    cell: String,
    input: usize,
    hidden: usize,
    layers: usize,
    bidirectional: bool,
    merge: Merge,
    lengths: Option<Vec<usize>>,
    bias: bool,
    #[serde(default)]
    layer_norm: bool,
    projection: Option<usize>,
    nonlinearity: Nonlinearity,
    reset: Reset,
}

/// Options of a language model.
#[derive(Deserialize)]
struct LanguageModelOptions {
    vocabulary: usize,
    embedding: usize,
    hidden: usize,
    layers: usize,
    tied: bool,
    smoothing: f64,
    ar: f64,
    tar: f64,
}

/// Options of a conditional random field.
#[derive(Deserialize)]
struct CrfOptions {
    tags: usize,
    lengths: Option<Vec<usize>>,
}

/// Options of a decoder with attention.
#[derive(Deserialize)]
struct AttentionOptions {
    cell: String,
    score: AttentionScore,
    input: usize,
    hidden: usize,
    memory: usize,
    lengths: Option<Vec<usize>>,
}

/// Read `tests/golden/FILE.safetensors`. Tests run in the package's root.
pub fn load<O: DeserializeOwned>(file: &str) -> Result<Vec<Case<O>>> {
    let path = Path::new("tests/golden").join(file);
    let bytes = std::fs::read(path.with_extension("safetensors"))?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let options: BTreeMap<String, O> = match header.metadata() {
        Some(metadata) => serde_json::from_str(&metadata["cases"])?,
        None => return Err(format!("{file} has no metadata").into()),
    };
    let mut kinds: HashMap<String, BTreeMap<String, BTreeMap<String, Tensor>>> = HashMap::new();
    for (name, tensor) in candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)? {
        let [case, kind, name] = name.split('/').collect::<Vec<_>>()[..] else {
            return Err(format!("{file}: {name} is not CASE/KIND/TENSOR").into());
        };
        let case = kinds.entry(case.into()).or_default();
        case.entry(kind.into()).or_default().insert(name.into(), tensor);
    }
    let case = |(name, options)| {
        let kinds = kinds.remove(&name).unwrap_or_default();
        Case { name, options, kinds }
    };
    Ok(options.into_iter().map(case).collect())
}

fn check_layers(file: &str, cases: usize) -> Result<()> {
    check_cases(file, cases, run_layer)
}

/// Run every case of a file in f32 and f64, by the fused kernels and by the reference. Report all tensors that differ
/// at once.
fn check_cases<O: DeserializeOwned>(
    file: &str,
    expected: usize,
    run: impl Fn(&O, &Variables) -> Result<Outcome>,
) -> Result<()> {
    let cases = load::<O>(file)?;
    assert_eq!(cases.len(), expected, "cases in {file}");
    let mut failures = Vec::new();
    for device in crate::devices() {
        for dtype in [DType::F32, DType::F64] {
            for case in &cases {
                let mut check = |implementation: &str| -> Result<()> {
                    let name = format!("{file}: {} in {dtype:?}, {implementation} on {device:?}", case.name);
                    let variables = Variables::of(case, dtype, &device)?;
                    let outcome =
                        run(&case.options, &variables).map_err(|error| format!("{name}: {error}"))?;
                    for failure in compare(case, &variables, &outcome)? {
                        failures.push(format!("{name}: {failure}"));
                    }
                    Ok(())
                };
                check("fused")?;
                without_fused(|| check("reference"))?;
            }
        }
    }
    assert!(failures.is_empty(), "{} tensors are off:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// A case's parameters, inputs and loss weights, as variables of one dtype.
struct Variables {
    dtype: DType,
    device: Device,
    kinds: BTreeMap<String, BTreeMap<String, Tensor>>,
}

impl Variables {
    fn of<O>(case: &Case<O>, dtype: DType, device: &Device) -> Result<Self> {
        let mut kinds = BTreeMap::new();
        for kind in ["parameter", "input", "loss"] {
            let mut tensors = BTreeMap::new();
            for (name, tensor) in case.kinds.get(kind).into_iter().flatten() {
                let mut tensor = tensor.to_device(device)?;
                // Token numbers stay integers.
                if tensor.dtype().is_float() {
                    tensor = Var::from_tensor(&tensor.to_dtype(dtype)?)?.into_inner();
                }
                tensors.insert(name.clone(), tensor);
            }
            kinds.insert(kind.to_string(), tensors);
        }
        Ok(Self { dtype, device: device.clone(), kinds })
    }

    fn input(&self, name: &str) -> Result<&Tensor> {
        self.kinds["input"].get(name).ok_or_else(|| format!("the fixture has no {name}").into())
    }

    fn state(&self) -> Result<State> {
        Ok(State { h: self.input("h0")?.clone(), c: self.input("c0").ok().cloned() })
    }

    /// Return a builder over the parameters and no others: a layer that asks for one more fails to build.
    fn parameters(&self) -> VarBuilder<'static> {
        let parameters = self.kinds["parameter"].clone().into_iter().collect();
        VarBuilder::from_tensors(parameters, self.dtype, &self.device)
    }

    /// Compute the scalar of `fixtures.py`: the sum of all outputs, each times its stored weight.
    fn loss(&self, outputs: &[(&str, Tensor)]) -> Result<Option<Tensor>> {
        let mut terms = Vec::new();
        for (name, weights) in &self.kinds["loss"] {
            let found = outputs.iter().find(|(output, _)| output == name);
            let (_, output) = found.ok_or_else(|| format!("the layer has no {name}"))?;
            terms.push((output * weights)?.sum_all()?);
        }
        if terms.is_empty() { Ok(None) } else { Ok(Some(Tensor::stack(&terms, 0)?.sum_all()?)) }
    }
}

/// Compare all tensors with the fixture's. Return a line for each that differs, with the difference.
fn compare<O>(case: &Case<O>, variables: &Variables, outcome: &Outcome) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    for (name, expected) in &case.kinds["output"] {
        let Some((_, actual)) = outcome.outputs.iter().find(|(output, _)| output == name) else {
            failures.push(format!("no {name}"));
            continue;
        };
        failures.extend(difference(&format!("output {name}"), actual, expected, OUTPUT_TOLERANCE)?);
    }
    let gradients = outcome.loss.as_ref().map(Tensor::backward).transpose()?;
    for (name, expected) in case.kinds.get("gradient").into_iter().flatten() {
        let Some(actual) = gradients.as_ref().and_then(|g| gradient(g, variables, name)) else {
            failures.push(format!("no gradient of {name}"));
            continue;
        };
        let tolerance = GRADIENT_TOLERANCE * largest(expected)?;
        failures.extend(difference(&format!("gradient of {name}"), actual, expected, tolerance)?);
    }
    Ok(failures)
}

/// Return the gradient of a parameter or an input, if the loss depends on it.
fn gradient<'a>(gradients: &'a GradStore, variables: &Variables, name: &str) -> Option<&'a Tensor> {
    let kinds = &variables.kinds;
    gradients.get(kinds["parameter"].get(name).or_else(|| kinds["input"].get(name))?)
}

/// Return a line if `actual` differs from `expected` in its shape or by more than `tolerance`.
fn difference(name: &str, actual: &Tensor, expected: &Tensor, tolerance: f64) -> Result<Option<String>> {
    if actual.dims() != expected.dims() {
        return Ok(Some(format!("{name} has shape {:?}, expected {:?}", actual.dims(), expected.dims())));
    }
    let actual = actual.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let off = largest(&(actual - expected.to_dtype(DType::F64)?)?)?;
    // Written so that NaN fails.
    let close = off <= tolerance;
    Ok((!close).then(|| format!("{name} is off by {off:.2e}, allowed {tolerance:.2e}")))
}

/// Return the largest absolute value, or NaN if an element is NaN.
fn largest(tensor: &Tensor) -> Result<f64> {
    let values = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    Ok(values.into_iter().map(f64::abs).fold(0., |a, b| if a > b || a.is_nan() { a } else { b }))
}

impl LayerOptions {
    fn config(&self) -> Result<RecurrentConfig> {
        let shared = StackOptions {
            num_layers: self.layers,
            bidirectional: self.bidirectional.then_some(self.merge),
            bias: self.bias,
            layer_norm: self.layer_norm,
            ..StackOptions::new(self.input, self.hidden)
        };
        Ok(match self.cell.as_str() {
            "simple_rnn" => RecurrentConfig::SimpleRnn(
                shared.with_cell(SimpleRnnOptions { nonlinearity: self.nonlinearity }),
            ),
            "lstm" => RecurrentConfig::Lstm(
                shared.with_cell(LstmOptions { projection: self.projection, ..Default::default() }),
            ),
            "gru" => {
                RecurrentConfig::Gru(shared.with_cell(GruOptions { reset: self.reset, ..Default::default() }))
            }
            other => return Err(format!("no cell is called {other}").into()),
        })
    }
}

fn run_layer(options: &LayerOptions, variables: &Variables) -> Result<Outcome> {
    let layer = options.config()?.build(variables.parameters())?;
    let lengths = options.lengths.as_deref();
    let output = layer.run(variables.input("xs")?, Some(&variables.state()?), lengths)?;
    let mut outputs = vec![("last", output.last()?), ("ys", output.ys), ("h_n", output.state.h)];
    outputs.extend(output.state.c.map(|c| ("c_n", c)));
    let loss = variables.loss(&outputs)?;
    Ok(Outcome { outputs, loss })
}

fn run_language_model(options: &LanguageModelOptions, variables: &Variables) -> Result<Outcome> {
    let rnn =
        StackOptions { num_layers: options.layers, ..StackOptions::new(options.embedding, options.hidden) };
    let config = RnnlmConfig {
        tied: options.tied,
        ar: options.ar,
        tar: options.tar,
        ..RnnlmConfig::new(options.vocabulary, RecurrentConfig::Lstm(rnn.into()))
    };
    let model = Rnnlm::new(&config, variables.parameters())?;
    let mut noise = stream(1, Purpose::Noise, 0); // penalties exist in training alone; these models drop nothing
    let encoded = model.encode_t(
        &variables.input("tokens")?.into(),
        Some(&variables.state()?),
        None,
        Some(&mut noise),
    )?;
    let Encoded { hidden, state, penalty } = encoded;
    let logits = model.outputs(&hidden)?; // (batch, time, vocabulary)
    let targets = variables.input("targets")?.flatten_all()?;
    let mut loss = model.output_layer().cross_entropy(&hidden.flatten(0, 1)?, &targets, options.smoothing)?;
    if let Some(penalty) = penalty {
        loss = (loss + penalty)?;
    }
    let mut outputs = vec![("logits", logits), ("loss", loss.clone()), ("h_n", state.h)];
    outputs.extend(state.c.map(|c| ("c_n", c)));
    Ok(Outcome { outputs, loss: Some(loss) })
}

fn run_crf(options: &CrfOptions, variables: &Variables) -> Result<Outcome> {
    let crf = Crf::new(options.tags, variables.parameters())?;
    let (emissions, targets) = (variables.input("emissions")?, variables.input("targets")?);
    let (batch, time, _) = emissions.dims3()?;
    let lengths = options.lengths.as_deref();
    let loss = crf.loss(emissions, targets, lengths, Reduction::Mean)?;
    let losses = Tensor::new(crf.losses(emissions, targets, lengths)?, &Device::Cpu)?;
    let mut best = crf.decode(emissions, lengths)?;
    best.iter_mut().for_each(|tags| tags.resize(time, 0)); // as the fixture pads them
    let best = Tensor::from_vec(best.concat(), (batch, time), &Device::Cpu)?;
    Ok(Outcome {
        outputs: vec![("loss", loss.clone()), ("losses", losses), ("best", best)],
        loss: Some(loss),
    })
}

fn run_attention(options: &AttentionOptions, variables: &Variables) -> Result<Outcome> {
    match options.cell.as_str() {
        "simple_rnn" => run_decoder::<SimpleRnnCell>(options, variables),
        "lstm" => run_decoder::<LstmCell>(options, variables),
        "gru" => run_decoder::<GruCell>(options, variables),
        other => Err(format!("no cell is called {other}").into()),
    }
}

fn run_decoder<C: Cell>(options: &AttentionOptions, variables: &Variables) -> Result<Outcome> {
    let config = StackOptions::new(options.input, options.hidden).with_cell(C::Options::default());
    let decoder = AttentionDecoder::<C>::new(&config, options.memory, options.score, variables.parameters())?;
    let memory = decoder.memory(variables.input("memory")?, options.lengths.as_deref())?;
    let state = AttentionState { cell: variables.state()?, attentional: variables.input("a0")?.clone() };
    let found = decoder.run(variables.input("xs")?, &memory, &state)?;
    let State { h, c } = found.state.cell;
    let mut outputs = vec![("ys", found.ys), ("alignments", found.alignments)];
    outputs.extend([("h_n", h), ("a_n", found.state.attentional)]);
    outputs.extend(c.map(|c| ("c_n", c)));
    let loss = variables.loss(&outputs)?;
    Ok(Outcome { outputs, loss })
}
