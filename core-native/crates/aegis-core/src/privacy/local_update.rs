//! Local privacy for a trained model: what is clipped and noised is its difference from the model it was trained from.
//!
//! For whoever stands between a training and the network, such as the data owner's guard, and has both as `.npy` files.

use crate::error::{Code, Error, Result};
use crate::privacy::privatize::{Plain, Privatizer};
use crate::tensor::DType;
use crate::tensor::cast::{self, BLOCK};
use crate::tensor::npy::{self, NpyHeader};

/// A tensor as it came and as it is to go: whole `.npy` files of one shape and element type.
#[derive(Clone, Copy)]
pub struct Trained<'a> {
    pub name: &'a str,
    /// What the model says it is: the file itself cannot name bfloat16.
    pub dtype: DType,
    pub came: &'a [u8],
    pub goes: &'a [u8],
}

/// The same tensors as `.npy` files with noise. `norm` and `clipped` are not private: they stay with the one who asked.
pub struct Noised {
    pub tensors: Vec<Vec<u8>>,
    pub norm: f64,
    pub clipped: bool,
}

/// came + noised(clipped(goes − came)), over all tensors of floats together. Tensors of integers and booleans have no noise: they must go
/// as they came.
///
/// [`Code::TensorShape`] where both files do not agree, [`Code::TensorNotNoised`] for an integer tensor that was changed,
/// [`Code::ValueNotFinite`] for NaN and infinities. Each names the tensor, and nothing comes back.
pub fn noise_trained(privatizer: &Privatizer, tensors: &[Trained<'_>]) -> Result<Noised> {
    let mut changes = Vec::new();
    for tensor in tensors {
        changes.push(tensor.change().map_err(|error| error.with("tensor", tensor.name))?);
    }
    let floats = tensors.iter().zip(&changes).filter(|(tensor, _)| tensor.dtype.is_float());
    let plain: Vec<Plain<'_>> =
        floats.map(|(tensor, bytes)| Plain { name: tensor.name, dtype: DType::F64, bytes }).collect();
    let done = privatizer.privatize(&plain)?;
    let mut noised = done.tensors.into_iter();
    let tensors = tensors.iter().map(|tensor| match tensor.dtype.is_float() {
        true => tensor.after(&noised.next().expect("one for each tensor of floats")),
        false => Ok(tensor.came.to_vec()),
    });
    Ok(Noised { tensors: tensors.collect::<Result<_>>()?, norm: done.norm, clipped: done.clipped })
}

impl<'a> Trained<'a> {
    /// Of a tensor of floats the difference, as elements of f64; of others nothing.
    fn change(&self) -> Result<Vec<u8>> {
        let (came, goes) = (self.open(self.came)?, self.open(self.goes)?);
        if (&came.shape, came.fortran_order) != (&goes.shape, goes.fortran_order) {
            return Err(Error::new(Code::TensorShape, "the tensor has another shape or order than the one that came"));
        }
        let (came, goes) = (&self.came[came.data_offset..], &self.goes[goes.data_offset..]);
        if !self.dtype.is_float() {
            return match came == goes {
                true => Ok(Vec::new()),
                false => {
                    Err(Error::new(Code::TensorNotNoised, "only tensors of floats can be noised; leave it as it came")
                        .with("dtype", self.dtype.as_str()))
                }
            };
        }
        let mut change = Vec::with_capacity(goes.len() / self.dtype.size() * 8);
        self.each_block(came, goes, |came, goes| {
            for (goes, came) in goes.iter_mut().zip(came) {
                *goes -= *came;
            }
            cast::encode(DType::F64, goes, &mut change);
        });
        Ok(change)
    }

    /// The file that goes, once its change has its noise.
    fn after(&self, change: &[u8]) -> Result<Vec<u8>> {
        let (came, goes) = (self.open(self.came)?, self.open(self.goes)?);
        let mut file = Vec::with_capacity(self.came.len());
        // Not the app's own: in the blanks of a header there is room for whatever has no noise.
        file.extend_from_slice(&self.came[..came.data_offset]);
        let mut changes = change.chunks(BLOCK * 8);
        let mut noised = [0.0; BLOCK];
        self.each_block(&self.came[came.data_offset..], &self.goes[goes.data_offset..], |came, _| {
            let noised = &mut noised[..came.len()];
            cast::decode(DType::F64, changes.next().expect("as many blocks"), noised);
            for (value, came) in noised.iter_mut().zip(came) {
                *value += *came;
            }
            cast::encode_finite(self.dtype, noised, &mut file);
        });
        Ok(file)
    }

    fn open(&self, file: &[u8]) -> Result<NpyHeader> {
        let header = npy::parse_header(file)?;
        header.check_size(file.len() as u64)?;
        header.descr.resolve(Some(self.dtype))?;
        Ok(header)
    }

    fn each_block(&self, came: &[u8], goes: &[u8], mut take: impl FnMut(&mut [f64], &mut [f64])) {
        let (mut from, mut to) = ([0.0; BLOCK], [0.0; BLOCK]);
        let block = BLOCK * self.dtype.size();
        for (came, goes) in came.chunks(block).zip(goes.chunks(block)) {
            let count = came.len() / self.dtype.size();
            let (from, to) = (&mut from[..count], &mut to[..count]);
            cast::decode(self.dtype, came, from);
            cast::decode(self.dtype, goes, to);
            take(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::testing::npy;

    fn values(dtype: DType, file: &[u8]) -> Vec<f64> {
        let header = npy::parse_header(file).unwrap();
        let payload = &file[header.data_offset..];
        payload
            .chunks(BLOCK * dtype.size())
            .flat_map(|block| {
                let mut out = vec![0.0; block.len() / dtype.size()];
                cast::decode(dtype, block, &mut out);
                out
            })
            .collect()
    }

    fn one<'a>(dtype: DType, came: &'a [u8], goes: &'a [u8]) -> [Trained<'a>; 1] {
        [Trained { name: "w", dtype, came, goes }]
    }

    fn refused(tensors: &[Trained<'_>]) -> Error {
        noise_trained(&Privatizer::new(1.0, 1.0).unwrap(), tensors).err().expect("refused")
    }

    #[test]
    fn with_hardly_any_noise_the_clipped_change_is_added_to_what_came() {
        for dtype in [DType::F32, DType::F64] {
            let came = npy(dtype, &[3], &[10.0, 10.0, 10.0]);
            let goes = npy(dtype, &[3], &[13.0, 14.0, 10.0]);
            let done = noise_trained(&Privatizer::new(1.0, 1e-6).unwrap(), &one(dtype, &came, &goes)).unwrap();
            assert!((done.norm - 5.0).abs() < 1e-12 && done.clipped);
            for (value, expected) in values(dtype, &done.tensors[0]).into_iter().zip([10.6, 10.8, 10.0]) {
                assert!((value - expected).abs() < 1e-4, "{value} {expected}");
            }
        }
    }

    #[test]
    fn the_clip_is_over_all_tensors_together() {
        let (came, goes) =
            (npy(DType::F64, &[1], &[0.0]), [npy(DType::F64, &[1], &[3.0]), npy(DType::F64, &[1], &[4.0])]);
        let tensors: Vec<_> =
            goes.iter().map(|goes| Trained { name: "w", dtype: DType::F64, came: &came, goes }).collect();
        let done = noise_trained(&Privatizer::new(1.0, 1e-6).unwrap(), &tensors).unwrap();
        assert!((done.norm - 5.0).abs() < 1e-12);
        assert!((values(DType::F64, &done.tensors[1])[0] - 0.8).abs() < 1e-4);
    }

    #[test]
    fn the_noise_is_that_of_the_privatizer_whatever_came() {
        let came = npy(DType::F32, &[1 << 16], &vec![7.0; 1 << 16]);
        let done = noise_trained(&Privatizer::new(1.0, 0.5).unwrap(), &one(DType::F32, &came, &came)).unwrap();
        let noise: Vec<f64> = values(DType::F32, &done.tensors[0]).iter().map(|value| value - 7.0).collect();
        let mean = noise.iter().sum::<f64>() / noise.len() as f64;
        let variance = noise.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / noise.len() as f64;
        // 65,536 samples: eight deviations of each
        assert!(mean.abs() < 8.0 * 0.5 / 256.0, "{mean}");
        assert!((variance / 0.25 - 1.0).abs() < 8.0 * (2.0f64 / 65536.0).sqrt(), "{variance}");
    }

    #[test]
    fn every_file_stays_what_it_was_but_for_its_values() {
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            for shape in [vec![], vec![0], vec![2, 3], vec![2500]] {
                let count = shape.iter().product::<u64>() as usize;
                let came = npy(dtype, &shape, &vec![1.0; count]);
                let done = noise_trained(&Privatizer::new(1.0, 1.0).unwrap(), &one(dtype, &came, &came)).unwrap();
                assert_eq!(npy::parse_header(&done.tensors[0]), npy::parse_header(&came));
                assert_eq!(done.tensors[0].len(), came.len());
            }
        }
    }

    #[test]
    fn nothing_of_the_apps_own_header_leaves() {
        for dtype in [DType::F32, DType::I32] {
            let came = npy(dtype, &[1], &[1.0]);
            let mut goes = came.clone();
            let at = goes.iter().rposition(|&byte| byte == b' ').unwrap();
            goes[at] = b'\n';
            let done = noise_trained(&Privatizer::new(1.0, 1.0).unwrap(), &one(dtype, &came, &goes)).unwrap();
            let length = npy::parse_header(&came).unwrap().data_offset;
            assert_eq!(done.tensors[0][..length], came[..length]);
        }
    }

    #[test]
    fn integers_go_as_they_came_or_not_at_all() {
        let (came, other) = (npy(DType::I64, &[], &[3.0]), npy(DType::I64, &[], &[4.0]));
        let done = noise_trained(&Privatizer::new(1.0, 1.0).unwrap(), &one(DType::I64, &came, &came)).unwrap();
        assert_eq!(done.tensors[0], came);
        let error = refused(&one(DType::I64, &came, &other));
        assert_eq!((error.code, error.fact("tensor")), (Code::TensorNotNoised, Some("w")));
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let came = npy(DType::F32, &[2], &[0.0, 0.0]);
        for (code, goes) in [
            (Code::TensorShape, npy(DType::F32, &[1, 2], &[0.0, 0.0])),
            (Code::TensorDtype, npy(DType::F64, &[2], &[0.0, 0.0])),
            (Code::NpySizeMismatch, came[..came.len() - 1].to_vec()),
            (Code::NpyMalformed, b"no array".to_vec()),
            (Code::ValueNotFinite, npy(DType::F32, &[2], &[0.0, f64::NAN])),
        ] {
            let error = refused(&one(DType::F32, &came, &goes));
            assert_eq!((error.code, error.fact("tensor")), (code, Some("w")));
        }
        let mut fortran = npy(DType::F32, &[2], &[0.0, 0.0]);
        let at = fortran.windows(5).position(|window| window == b"False").unwrap();
        fortran[at..at + 5].copy_from_slice(b"True ");
        assert_eq!(refused(&one(DType::F32, &came, &fortran)).code, Code::TensorShape);
    }
}
