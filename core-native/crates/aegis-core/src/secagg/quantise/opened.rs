//! The open sum: checked, then read as means.

use std::path::Path;

use super::{Grid, PREAMBLE, SENTINELS, TensorRange};
use crate::error::{Code, Error, Result};
use crate::model::{ModelInfo, ModelReader, ModelTensor, ModelWriter};
use crate::seal::DataKey;
use crate::secagg::residues::Residues;
use crate::tensor::cast::{self, BLOCK};
use crate::tensor::difference;

/// A sum that has passed every check there is.
#[derive(Debug)]
pub struct OpenedSum {
    sum: Residues,
    survivors: u64,
    weight: u64,
    /// What tensors are divided by.
    divisor: f64,
}

impl OpenedSum {
    /// [`Code::SecaggSum`] unless the sentinels sum to the number of survivors, the weight lies between them and weight-max times
    /// them, and no sum is beyond weight × half-range + the survivors' noise, of which `noise` is what the grid does not know of.
    pub fn check(grid: &Grid, sum: Residues, survivors: u64, noise: u64) -> Result<Self> {
        let refuse = |why: &str| Error::new(Code::SecaggSum, why).with("survivors", survivors);
        if sum.len() != grid.length() {
            return Err(refuse("the sum has another length than the plan's"));
        }
        if (0..SENTINELS).any(|slot| sum.signed(slot) != survivors as i64) {
            return Err(refuse("the sentinels do not sum to the survivors: the masks did not cancel"));
        }
        let weight = u64::try_from(sum.signed(SENTINELS)).unwrap_or_default();
        if survivors == 0 || !(survivors..=survivors.saturating_mul(grid.weight_max)).contains(&weight) {
            return Err(refuse("the total weight is not that of the survivors").with("weight", weight));
        }
        let noise = noise.saturating_add(grid.noise_tail(survivors)?);
        let limit = weight.saturating_mul(grid.half_range()).saturating_add(noise);
        if let Some(slot) = (PREAMBLE..sum.len()).find(|&slot| sum.signed(slot).unsigned_abs() > limit) {
            return Err(refuse("a sum is beyond what the survivors can add up to")
                .with("element", slot)
                .with("limit", limit));
        }
        Ok(Self { sum, survivors, weight, divisor: weight as f64 })
    }

    /// Tensors are divided by this from here on, and not by the weight of who came: what a guarantee counts with was fixed before anybody
    /// answered. [`Code::Argument`] unless it is above 0.
    pub fn over(self, divisor: f64) -> Result<Self> {
        if divisor.is_finite() && divisor > 0.0 {
            return Ok(Self { divisor, ..self });
        }
        Err(Error::new(Code::Argument, "a sum is divided by a number above 0").with("argument", "divisor"))
    }

    pub fn survivors(&self) -> u64 {
        self.survivors
    }

    /// The weights of all survivors.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The weighted mean of a metric.
    pub fn metric(&self, grid: &Grid, index: usize) -> f64 {
        let unit = self.sum.signed(PREAMBLE + index) as f64 / (self.weight * grid.half_range()) as f64;
        grid.metrics[index].value_of(unit)
    }

    /// The weighted mean of a tensor, as little-endian elements of its dtype in C order. Floats round to nearest even, integers half to
    /// even, bool is true from 0.5 up: what the fold of plain updates does.
    pub fn tensor(&self, grid: &Grid, index: usize) -> Vec<u8> {
        let range = &grid.tensors[index];
        let (elements, dtype) = (range.spec.elements() as usize, range.spec.dtype());
        let mut bytes = Vec::with_capacity(elements * dtype.size());
        let mut values = [0.0; BLOCK];
        for start in (0..elements).step_by(BLOCK) {
            let values = &mut values[..(elements - start).min(BLOCK)];
            self.means(grid, index, start, values);
            cast::encode(dtype, values, &mut bytes);
        }
        bytes
    }

    /// The model that updates which were differences from `start` make together: `start` plus their weighted mean, each tensor in its own
    /// dtype, as a sealed model file. What is beyond a float's range becomes its greatest value.
    ///
    /// [`Code::TensorMissing`] if `start` does not have the grid's tensors in their order.
    pub fn write_model(&self, grid: &Grid, start: &ModelReader, path: &Path, key: &DataKey) -> Result<ModelInfo> {
        let tensors = &start.info().tensors;
        let same = |(range, tensor): (&TensorRange, &ModelTensor)| {
            let spec = &range.spec;
            spec.name() == tensor.name && spec.dtype() == tensor.dtype && spec.shape() == tensor.shape
        };
        if tensors.len() != grid.tensors.len() || !grid.tensors.iter().zip(tensors).all(same) {
            return Err(Error::new(Code::TensorMissing, "the start model has other tensors than the masked sum"));
        }
        let mut writer = ModelWriter::create(path, key)?;
        let mut values = [0.0; BLOCK];
        let mut bytes = Vec::with_capacity(BLOCK * 8);
        for (index, (range, tensor)) in grid.tensors.iter().zip(tensors).enumerate() {
            let (spec, mut element) = (&range.spec, 0);
            writer.begin(spec.name(), spec.dtype(), spec.shape())?;
            let end = tensor.offset + tensor.length;
            start.each_piece(end - spec.payload_bytes()..end, |piece| {
                for block in piece.chunks(BLOCK * spec.dtype().size()) {
                    let values = &mut values[..block.len() / spec.dtype().size()];
                    self.means(grid, index, element, values);
                    bytes.clear();
                    difference::add(spec.dtype(), block, values, &mut bytes);
                    writer.payload(&bytes)?;
                    element += values.len();
                }
                Ok(())
            })?;
        }
        writer.finish()
    }

    /// Weighted means of a tensor's elements, from its element `start` on.
    fn means(&self, grid: &Grid, index: usize, start: usize, out: &mut [f64]) {
        let before: u64 = grid.tensors[..index].iter().map(|range| range.spec.elements()).sum();
        let first = PREAMBLE + grid.metrics.len() + before as usize + start;
        let step = grid.tensors[index].clip / (self.divisor * grid.half_range() as f64);
        for (offset, value) in out.iter_mut().enumerate() {
            *value = self.sum.signed(first + offset) as f64 * step;
        }
    }

    /// The sum of one element in steps of the grid, for whoever adds up on.
    pub fn steps(&self, element: usize) -> i64 {
        self.sum.signed(element)
    }
}
