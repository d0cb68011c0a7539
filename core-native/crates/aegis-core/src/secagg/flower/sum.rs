//! The sum of a compatible round: masked vectors in, in the memory of one; masks out, from the shares that nodes opened; weighted means.
//!
//! Shares and vectors carry no check of their own. What can be seen is looked at: a key must be the one its node advertised, a vector has
//! the shapes and the range it should, and an opened sum that could not come from so many nodes is refused.

use super::keys::MaskKey;
use super::mask::MaskStream;
use super::quantise::Setup;
use super::shamir::combine;
use crate::error::{Code, Error, Result};
use crate::tensor::{DType, TensorSpec, cast, npy};

/// What a node draws for its private mask.
const SEED_BYTES: usize = 32;
/// Flower's nodes keep quantised parameters in 32-bit integers.
const MOST_TARGET_RANGE: u64 = (1 << 31) - 1;

impl Setup {
    /// [`Code::SecaggParameters`] for what no sum can be computed with.
    pub fn check(&self) -> Result<()> {
        let wrong = |name: &'static str, rule: &str, value: String| {
            Err(Error::new(Code::SecaggParameters, rule).with("name", name).with("value", value))
        };
        let Self { clipping_range, target_range, mod_range, max_weight } = *self;
        for (name, value) in [("clipping-range", clipping_range), ("max-weight", max_weight)] {
            if !(value.is_finite() && value > 0.0) {
                return wrong(name, "it must be a finite number above 0", value.to_string());
            }
        }
        if !(1..=MOST_TARGET_RANGE).contains(&target_range) {
            return wrong("quantization-range", "it must be from 1 to 2^31 - 1", target_range.to_string());
        }
        if !mod_range.is_power_of_two() || mod_range <= target_range || mod_range > 1 << 62 {
            let rule = "it must be a power of two above quantization-range, at most 2^62";
            return wrong("modulus-range", rule, mod_range.to_string());
        }
        Ok(())
    }
}

/// Masked vectors of nodes and what was taken away of their masks.
pub struct Sum {
    setup: Setup,
    /// The weight first, then the parameters.
    arrays: Vec<TensorSpec>,
    sum: Vec<i64>,
    count: u64,
}

/// A node that shared its keys and delivered nothing.
pub struct Dropped<'a> {
    pub node: u64,
    pub public_key: &'a [u8],
    pub shares: &'a [&'a [u8]],
}

impl Sum {
    /// For parameters of these shapes, in order.
    pub fn new(setup: Setup, shapes: &[Vec<u64>]) -> Result<Self> {
        setup.check()?;
        let array = |shape: Vec<u64>| TensorSpec::new("masked", DType::I64, shape);
        let arrays: Vec<TensorSpec> =
            std::iter::once(vec![1]).chain(shapes.iter().cloned()).map(array).collect::<Result<_>>()?;
        let length = arrays.iter().try_fold(0u64, |sum, array| sum.checked_add(array.elements()));
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|&length| length <= isize::MAX as usize / 8);
        let length = length.ok_or_else(|| Error::new(Code::TensorTooLarge, "the vector is too long"))?;
        Ok(Self { setup, arrays, sum: vec![0; length], count: 0 })
    }

    /// Adds what one node delivered: .npy files, one for each array. [`Code::SecaggMalformed`] and, like for what is no such file, nothing
    /// added if arrays are missing or elements are beyond the modulus.
    pub fn add(&mut self, files: &[&[u8]]) -> Result<()> {
        if files.len() != self.arrays.len() {
            return Err(Error::new(Code::SecaggMalformed, "the vector has another number of arrays than the model")
                .with("expected", self.arrays.len())
                .with("got", files.len()));
        }
        let payloads = files.iter().zip(&self.arrays).map(|(file, array)| npy::elements(file, array));
        let payloads: Vec<_> = payloads.collect::<Result<_>>()?;
        let elements =
            || payloads.iter().flat_map(|bytes| bytes.as_chunks::<8>().0).map(|bytes| i64::from_le_bytes(*bytes));
        let range = 0..self.setup.mod_range as i64;
        if elements().any(|element| !range.contains(&element)) {
            return Err(Error::new(Code::SecaggMalformed, "an element of the vector is beyond the modulus"));
        }
        for (sum, element) in self.sum.iter_mut().zip(elements()) {
            *sum = sum.wrapping_add(element);
        }
        self.count += 1;
        Ok(())
    }

    /// Vectors added so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes away the private mask of a node that delivered. [`Code::SecaggShares`], and nothing taken away, if the shares give no seed.
    pub fn remove_private(&mut self, shares: &[&[u8]]) -> Result<()> {
        let seed = combine(shares)?;
        if seed.len() != SEED_BYTES {
            return Err(Error::new(Code::SecaggShares, "the shares give no seed of 32 bytes"));
        }
        MaskStream::new(&seed, self.setup.mod_range)?.apply(&mut self.sum, false);
        Ok(())
    }

    /// Takes away what `delivered` (nodes with their public keys) masked with a node that dropped out. [`Code::SecaggShares`] if the shares
    /// do not give the key that it advertised, [`Code::SignatureKey`] for public keys that are none; nothing is taken away then.
    pub fn remove_pairs(&mut self, dropped: &Dropped<'_>, delivered: &[(u64, &[u8])]) -> Result<()> {
        let key = MaskKey::from_pem(&combine(dropped.shares)?)?;
        if !key.is_of(dropped.public_key)? {
            return Err(Error::new(Code::SecaggShares, "the shares give another key than the node advertised")
                .with("node", dropped.node));
        }
        let seeds = delivered.iter().map(|&(node, public)| Ok((node, key.shared_with(public)?)));
        for (node, seed) in seeds.collect::<Result<Vec<_>>>()? {
            // the greater id of a pair adds what the smaller takes away
            MaskStream::new(&seed, self.setup.mod_range)?.apply(&mut self.sum, dropped.node > node);
        }
        Ok(())
    }

    /// [`Code::SecaggSum`] if this cannot be the sum of so many vectors: masks are left over, or somebody lied. With whom nobody can tell.
    pub fn open(mut self) -> Result<Means> {
        let wrong = |what: &str| Error::new(Code::SecaggSum, what).with("delivered", self.count);
        if self.count < 2 {
            return Err(wrong("fewer than two vectors are no sum"));
        }
        let most = u128::from(self.count) * u128::from(self.setup.target_range);
        if most >= u128::from(self.setup.mod_range) {
            return Err(wrong("the modulus has no room for so many vectors"));
        }
        self.sum.iter_mut().for_each(|sum| *sum = self.setup.reduce(*sum));
        if self.sum.iter().any(|&sum| sum as u128 > most) {
            return Err(wrong("the sum is beyond what so many nodes can send; a share or a vector was wrong"));
        }
        if self.sum[0] == 0 {
            return Err(wrong("the weights add up to nothing"));
        }
        Ok(Means { sum: self })
    }
}

/// What an opened sum says.
pub struct Means {
    sum: Sum,
}

impl Means {
    /// In steps of max-weight over quantization-range.
    pub fn weight(&self) -> i64 {
        self.sum.sum[0]
    }

    /// The weighted mean of the array at this place as a .npy file of float64, which is what Flower's server hands on.
    /// [`Code::Argument`] if there is none.
    pub fn array(&self, index: usize) -> Result<Vec<u8>> {
        self.array_as(index, DType::F64)
    }

    /// The same as elements of another type: floats to nearest, integers half to even, as a plain mean is written.
    pub fn array_as(&self, index: usize, dtype: DType) -> Result<Vec<u8>> {
        let Sum { setup, arrays, sum, count } = &self.sum;
        let (before, rest) = arrays.split_at_checked(index.saturating_add(1)).unwrap_or((arrays, &[]));
        let array = rest.first().ok_or_else(|| Error::new(Code::Argument, "there is no such array"))?;
        let start = before.iter().map(TensorSpec::elements).sum::<u64>() as usize;
        let sums = &sum[start..start + array.elements() as usize];
        let means: Vec<f64> = sums.iter().map(|&sum| setup.dequantise(sum, *count, self.weight())).collect();
        let mut file = npy::write_header(dtype, array.shape());
        cast::encode(dtype, &means, &mut file);
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
