//! Word vectors as the initial rows of an embedding.

use std::collections::HashSet;
use std::path::Path;

use candle_core::{DType, Tensor};

use super::run::Run;
use crate::data::vectors::Vectors;
use crate::{Error, Result};

/// The parameter of the embedding.
const EMBEDDING: &str = "encoder.weight";

/// The tokens whose embeddings start from a file of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Tokens with a vector.
    pub tokens: usize,
    /// Tokens with the vector of their lower-case form.
    pub in_lower_case: usize,
    /// Tokens of the vocabulary.
    pub of: usize,
}

impl Run {
    /// Set the embeddings of tokens to the vectors of a file in the format of GloVe or word2vec. A token without a
    /// vector of its own takes that of its lower-case form; the others keep their random rows.
    ///
    /// # Errors
    /// If the file cannot be read, has another width than the embedding or a vector for none of the tokens, or the
    /// network reads no tokens; and errors from candle.
    pub fn fill_embedding(&mut self, path: &Path) -> Result<Filled> {
        let unsuited = || Error::invalid("vectors", "the network reads no text; leave it out");
        let tokenizer = self.tokenizer().ok_or_else(unsuited)?;
        let variable = self.trainer.parameters.get(EMBEDDING).ok_or_else(unsuited)?;
        let tokens: Vec<&str> = (0..tokenizer.vocabulary_size() as u32)
            .map(|id| tokenizer.token(id).unwrap_or_default())
            .collect();
        let lower: Vec<String> = tokens.iter().map(|token| token.to_lowercase()).collect();
        let wanted: HashSet<&str> = tokens.iter().copied().chain(lower.iter().map(String::as_str)).collect();
        let Vectors { width, rows } = Vectors::read(path, |word| wanted.contains(word))?;
        let expected = variable.dim(1)?;
        if width != expected {
            let problem = format!(
                "has vectors of {width} numbers, but option `embedding = {expected}` is the width of the network's"
            );
            return Err(Error::file(path, problem));
        }
        let mut filled = Filled { tokens: 0, in_lower_case: 0, of: tokens.len() };
        let mut weight = variable.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        for ((token, lower), row) in tokens.iter().zip(&lower).zip(weight.chunks_exact_mut(width)) {
            let own = rows.get(*token);
            let Some(vector) = own.or_else(|| rows.get(lower.as_str())) else { continue };
            row.copy_from_slice(vector);
            filled.tokens += 1;
            filled.in_lower_case += usize::from(own.is_none());
        }
        if filled.tokens == 0 {
            return Err(Error::file(path, format!("has a vector for none of the {} tokens", tokens.len())));
        }
        let weight = Tensor::from_vec(weight, variable.shape(), variable.device())?;
        variable.set(&weight.to_dtype(variable.dtype())?)?;
        Ok(filled)
    }
}
