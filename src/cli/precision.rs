//! The precision of matrix products of a command.

use rnn_zoo::models::Precision;

use crate::cli::note::note;

/// The flag of the precision.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PrecisionArg {
    /// Precision of the operands of matrix products: f32; bf16, which is faster on processors with AMX or AVX512-BF16;
    /// or int8, integers with one scale for each row of weights. Parameters and states are in f32 in any case
    #[arg(long, value_name = "NAME", value_parser = parse, default_value_t = Precision::F32, help_heading = "Compute")]
    precision: Precision,
}

/// Parse the name of a precision.
pub fn parse(name: &str) -> Result<Precision, String> {
    name.parse()
}

/// Parse the name of a precision that models are trained in.
pub fn parse_of_training(name: &str) -> Result<Precision, String> {
    match parse(name) {
        Ok(precision) if precision.has_gradients() => Ok(precision),
        Ok(precision) => Err(format!("{precision} is a precision of inference; expected f32 or bf16")),
        Err(_) => Err(format!("{name:?} is not a precision; expected f32 or bf16")),
    }
}

impl PrecisionArg {
    /// Run `work` in the precision.
    pub fn scope<T>(self, work: impl FnOnce() -> T) -> T {
        self.announced().scope(work)
    }

    /// Return the precision, and say once if this processor has no instructions for it.
    pub fn announced(self) -> Precision {
        announce(self.precision);
        self.precision
    }
}

/// Say once that a precision has no instructions of its own on this processor.
pub fn announce(precision: Precision) {
    if !precision.is_fast() {
        note!(
            "--precision {precision}: this processor has no fast products of {precision}; no faster than f32"
        );
    }
}
