//! One tensor of the start model, in memory as the model file has it.

use super::Places;
use crate::error::{Code, Error, Result};
use crate::model::{ModelReader, ModelTensor};
use crate::tensor::TensorSpec;
use crate::tensor::cast::{self, BLOCK};

pub struct Start {
    pub spec: TensorSpec,
    /// Elements in C order, little-endian.
    payload: Vec<u8>,
}

impl Start {
    pub fn read(model: &ModelReader, tensor: &ModelTensor) -> Result<Self> {
        let spec = TensorSpec::new(&tensor.name, tensor.dtype, tensor.shape.clone())?;
        let length = spec.payload_bytes();
        let too_large = || Error::new(Code::TensorTooLarge, "the start model does not fit into memory");
        let mut payload = Vec::new();
        payload.try_reserve_exact(length as usize).map_err(|_| too_large().with("tensor", spec.name()))?;
        payload.resize(length as usize, 0);
        // A tensor's file is its header and then exactly its payload.
        model.read_at(tensor.offset + tensor.length - length, &mut payload)?;
        let start = Self { spec, payload };
        start.require_finite()?;
        Ok(start)
    }

    /// A sum for every element, if there are sums for this type.
    pub fn zeros(&self) -> Result<Vec<i64>> {
        let elements = if self.spec.dtype().is_float() { self.spec.elements() as usize } else { 0 };
        Vec::<i64>::new().try_reserve_exact(elements).map_err(|_| {
            Error::new(Code::TensorTooLarge, "the sums of this model do not fit into memory")
                .with("tensor", self.spec.name())
        })?;
        Ok(vec![0; elements])
    }

    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// No update is a finite way from a model that is not finite itself.
    fn require_finite(&self) -> Result<()> {
        let mut values = [0.0; BLOCK];
        for bytes in self.payload.chunks(BLOCK * self.spec.dtype().size()) {
            let values = &mut values[..bytes.len() / self.spec.dtype().size()];
            cast::decode(self.spec.dtype(), bytes, values);
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::new(Code::ValueNotFinite, "the start model holds NaN or infinity")
                    .with("tensor", self.spec.name()));
            }
        }
        Ok(())
    }

    /// The elements from `first` on.
    pub fn decode(&self, first: usize, out: &mut [f64]) {
        let size = self.spec.dtype().size();
        cast::decode(self.spec.dtype(), &self.payload[first * size..(first + out.len()) * size], out);
    }

    pub fn subtract_from(&self, values: &mut [f64], places: &Places<'_>) {
        let mut start = [0.0; BLOCK];
        let start = &mut start[..values.len()];
        match places {
            Places::From(first) => self.decode(*first, start),
            Places::These(_) => places.each(start.len(), |at, place| self.decode(place, &mut start[at..=at])),
        }
        values.iter_mut().zip(start).for_each(|(value, start)| *value -= *start);
    }

    /// Whether the elements are those of the start model.
    pub fn require_kept(&self, places: &Places<'_>, bytes: &[u8]) -> Result<()> {
        let size = self.spec.dtype().size();
        let mut kept = true;
        places.each(bytes.len() / size, |at, place| {
            kept &= bytes[at * size..(at + 1) * size] == self.payload[place * size..(place + 1) * size];
        });
        if kept {
            return Ok(());
        }
        Err(Error::new(
            Code::TensorNotNoised,
            "a tensor that is not of floats cannot be noised, so it must stay as the start model has it",
        )
        .with("dtype", self.spec.dtype().as_str()))
    }
}
