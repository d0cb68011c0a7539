//! ECDSA verification over P-384 for keys that verify often: tables of multiples of the key, made once, leave 24
//! doublings of 384.
//!
//! u₁·G + u₂·Q is one sum over 32 streams: each scalar is cut into sixteen pieces of 24 bits, and piece i multiplies
//! 2^(24·i) times its point, whose odd multiples stand in a table (Lim and Lee, CRYPTO '94; signed digits as in
//! FIPS 186-5 and SEC 1). Only public numbers come here, so nothing has to take the same time. Whether the point is on the
//! curve is not asked again: who makes a [`Table`] has parsed the key.

use std::sync::LazyLock;

use super::montgomery::{Limbs, Prime, Residue, add, below};
use crate::hash::sha256;

/// 2^384 − 2^128 − 2^96 + 2^32 − 1.
#[derive(Clone, Copy, Debug)]
struct FieldPrime;

impl Prime for FieldPrime {
    const LIMBS: Limbs = [
        0x0000_0000_ffff_ffff,
        0xffff_ffff_0000_0000,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_ffff,
    ];

    /// m = t₀ · (2^32 + 1), and m·p is shifts of m: m·2^384 − m·2^128 − m·2^96 + m·2^32 − m.
    #[inline(always)]
    fn shifted_out(limbs: &mut [u64; 12], at: usize) -> u64 {
        let m = limbs[at].wrapping_add(limbs[at] << 32);
        let (low, high) = (i128::from(m << 32), i128::from(m >> 32));
        let m = i128::from(m);
        let mut carry = 0;
        for (limb, change) in limbs[at..at + 6].iter_mut().zip([low - m, high - low, -high - m, 0, 0, 0]) {
            let wide = i128::from(*limb) + change + carry;
            (*limb, carry) = (wide as u64, wide >> 64);
        }
        (carry + m) as u64
    }
}

/// The order of the group (SP 800-186, 3.2.1.4).
#[derive(Clone, Copy, Debug)]
struct GroupOrder;

impl Prime for GroupOrder {
    const LIMBS: Limbs = [
        0xecec_196a_ccc5_2973,
        0x581a_0db2_48b0_a77a,
        0xc763_4d81_f437_2ddf,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_ffff,
    ];
}

type Coordinate = Residue<FieldPrime>;
type Scalar = Residue<GroupOrder>;

const BASE: [Limbs; 2] = [
    [
        0x3a54_5e38_7276_0ab7,
        0x5502_f25d_bf55_296c,
        0x59f7_41e0_8254_2a38,
        0x6e1d_3b62_8ba7_9b98,
        0x8eb1_c71e_f320_ad74,
        0xaa87_ca22_be8b_0537,
    ],
    [
        0x7a43_1d7c_90ea_0e5f,
        0x0a60_b1ce_1d7e_819d,
        0xe9da_3113_b5f0_b8c0,
        0xf8f4_1dbd_289a_147c,
        0x5d9e_98bf_9292_dc29,
        0x3617_de4a_9626_2c6f,
    ],
];

const PIECES: usize = 16;
const PIECE_BITS: usize = 24;
/// Widths of signed digits: a table holds 2^(width − 2) odd multiples for each piece.
const KEY_WIDTH: u32 = 5;
const BASE_WIDTH: u32 = 8;

static BASE_TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::of(&Affine::of(&BASE).expect("a point of the curve"), BASE_WIDTH));

/// Odd multiples P, 3P, 5P … of each 2^(24·i)·P. Of a key: 12 KiB.
pub struct Table {
    width: u32,
    multiples: Vec<Affine>,
}

impl Table {
    /// For a public key: `point` is uncompressed, 0x04 and two coordinates, and known to be on the curve.
    pub fn of_key(point: &[u8]) -> Option<Self> {
        let (x, y) = (number(point.get(1..49)?), number(point.get(49..97)?));
        Some(Self::of(&Affine::of(&[x, y])?, KEY_WIDTH))
    }

    fn of(point: &Affine, width: u32) -> Self {
        let mut bases = vec![Point::from(point)];
        while bases.len() < PIECES {
            bases.push((0..PIECE_BITS).fold(bases[bases.len() - 1], |base, _| base.doubled()));
        }
        let twice = affine(&bases.iter().map(Point::doubled).collect::<Vec<_>>());
        let mut multiples = Vec::with_capacity(PIECES << (width - 2));
        for (base, twice) in bases.iter().zip(&twice) {
            let mut multiple = *base;
            for _ in 0..1 << (width - 2) {
                multiples.push(multiple);
                multiple = multiple.plus(twice);
            }
        }
        Self { width, multiples: affine(&multiples) }
    }

    /// Whether `signature_der` is a signature of the message with ECDSA and SHA-256 (SEC 1, 4.1.4).
    pub fn verify(&self, message: &[u8], signature_der: &[u8]) -> bool {
        let Some((r, s)) = parse_signature(signature_der) else {
            return false;
        };
        let (Some(r_scalar), Some(s)) = (Scalar::new(r), Scalar::new(s)) else {
            return false;
        };
        if r_scalar.is_zero() || s.is_zero() {
            return false;
        }
        let inverse = s.inverted();
        // 256 bits: always below the order
        let digest = Scalar::new(number(&sha256([message]))).expect("below the order");
        let sum = sum_of(&[(&BASE_TABLE, digest.times(&inverse).number()), (self, r_scalar.times(&inverse).number())]);
        !sum.is_neutral() && sum.has_x_modulo_order(r)
    }
}

/// The sum of scalar times point over all terms.
fn sum_of(terms: &[(&Table, Limbs)]) -> Point {
    let streams: Vec<_> = terms
        .iter()
        .flat_map(|&(table, scalar)| {
            let multiples = table.multiples.chunks(1 << (table.width - 2));
            multiples.enumerate().map(move |(piece, odd)| (odd, signed_digits(piece_of(&scalar, piece), table.width)))
        })
        .collect();
    let mut sum = Point::NEUTRAL;
    for position in (0..=PIECE_BITS).rev() {
        sum = sum.doubled();
        for (odd, digits) in &streams {
            let digit = digits[position];
            if digit != 0 {
                let multiple = &odd[usize::from(digit.unsigned_abs()) / 2];
                sum = sum.plus(&if digit < 0 { multiple.negated() } else { *multiple });
            }
        }
    }
    sum
}

fn piece_of(scalar: &Limbs, piece: usize) -> u64 {
    let bit = piece * PIECE_BITS;
    let (limb, shift) = (bit / 64, bit % 64);
    let high = if shift == 0 || limb == 5 { 0 } else { scalar[limb + 1] << (64 - shift) };
    (scalar[limb] >> shift | high) & ((1 << PIECE_BITS) - 1)
}

/// By position; digits are 0 or odd, below 2^(width − 1) in size.
fn signed_digits(mut number: u64, width: u32) -> [i16; PIECE_BITS + 1] {
    let mut digits = [0; PIECE_BITS + 1];
    let mut position = 0;
    while number != 0 {
        let zeros = number.trailing_zeros();
        number >>= zeros;
        position += zeros as usize;
        let low = (number & ((1 << width) - 1)) as i16;
        let digit = if low >> (width - 1) == 1 { low - (1 << width) } else { low };
        number = number.wrapping_sub(digit as u64);
        digits[position] = digit;
    }
    digits
}

#[derive(Clone, Copy)]
struct Affine {
    x: Coordinate,
    y: Coordinate,
}

impl Affine {
    fn of([x, y]: &[Limbs; 2]) -> Option<Self> {
        Some(Self { x: Coordinate::new(*x)?, y: Coordinate::new(*y)? })
    }

    fn negated(&self) -> Self {
        Self { x: self.x, y: self.y.negated() }
    }
}

/// Jacobian coordinates: x = X/Z², y = Y/Z³; Z = 0 is the neutral element.
#[derive(Clone, Copy)]
struct Point {
    x: Coordinate,
    y: Coordinate,
    z: Coordinate,
}

impl From<&Affine> for Point {
    fn from(&Affine { x, y }: &Affine) -> Self {
        Self { x, y, z: Coordinate::ONE }
    }
}

impl Point {
    const NEUTRAL: Self = Self { x: Coordinate::ONE, y: Coordinate::ONE, z: Coordinate::ZERO };

    fn is_neutral(&self) -> bool {
        self.z.is_zero()
    }

    /// "dbl-2001-b" of the Explicit-Formulas Database, for a = −3.
    fn doubled(&self) -> Self {
        if self.is_neutral() {
            return *self;
        }
        let delta = self.z.squared();
        let gamma = self.y.squared();
        let beta = self.x.times(&gamma);
        let product = self.x.minus(&delta).times(&self.x.plus(&delta));
        let alpha = product.doubled().plus(&product);
        let beta4 = beta.doubled().doubled();
        let x = alpha.squared().minus(&beta4.doubled());
        let z = self.y.plus(&self.z).squared().minus(&gamma).minus(&delta);
        let gamma8 = gamma.squared().doubled().doubled().doubled();
        Self { x, y: alpha.times(&beta4.minus(&x)).minus(&gamma8), z }
    }

    /// "madd" of the Explicit-Formulas Database with Z₂ = 1; where it does not hold, the group's law.
    fn plus(&self, other: &Affine) -> Self {
        if self.is_neutral() {
            return other.into();
        }
        let zz = self.z.squared();
        let h = other.x.times(&zz).minus(&self.x);
        let r = other.y.times(&self.z).times(&zz).minus(&self.y);
        if h.is_zero() {
            return if r.is_zero() { self.doubled() } else { Self::NEUTRAL };
        }
        let hh = h.squared();
        let hhh = h.times(&hh);
        let v = self.x.times(&hh);
        let x = r.squared().minus(&hhh).minus(&v.doubled());
        Self { x, y: r.times(&v.minus(&x)).minus(&self.y.times(&hhh)), z: self.z.times(&h) }
    }

    /// x mod n = r: x is r, or r + n where that is still below p.
    fn has_x_modulo_order(&self, r: Limbs) -> bool {
        let zz = self.z.squared();
        let is = |x: Limbs| Coordinate::new(x).is_some_and(|x| x.times(&zz) == self.x);
        let (beyond, overflow) = add(&r, &GroupOrder::LIMBS);
        is(r) || (!overflow && below(&beyond, &FieldPrime::LIMBS) && is(beyond))
    }
}

/// All at once, for the price of one inversion. No point may be neutral.
fn affine(points: &[Point]) -> Vec<Affine> {
    let mut product = Coordinate::ONE;
    let mut before = Vec::with_capacity(points.len());
    for point in points {
        before.push(product);
        product = product.times(&point.z);
    }
    let mut inverse = product.inverted();
    let mut result = Vec::with_capacity(points.len());
    for (point, before) in points.iter().zip(before).rev() {
        let own = inverse.times(&before);
        inverse = inverse.times(&point.z);
        let square = own.squared();
        result.push(Affine { x: point.x.times(&square), y: point.y.times(&square).times(&own) });
    }
    result.reverse();
    result
}

/// SEQUENCE { INTEGER r, INTEGER s } in DER, nothing after it; None also for what is negative or longer than 384 bits.
fn parse_signature(der: &[u8]) -> Option<(Limbs, Limbs)> {
    let [0x30, length, content @ ..] = der else {
        return None;
    };
    if usize::from(*length) != content.len() || *length >= 0x80 {
        return None;
    }
    let (r, rest) = parse_integer(content)?;
    let (s, rest) = parse_integer(rest)?;
    rest.is_empty().then_some((r, s))
}

fn parse_integer(der: &[u8]) -> Option<(Limbs, &[u8])> {
    let [0x02, length, rest @ ..] = der else {
        return None;
    };
    let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
    let magnitude = match bytes {
        // the shortest form: a leading zero only where the next bit would be taken for a sign
        [0, second, ..] if *second < 0x80 => return None,
        [0, tail @ ..] => tail,
        [first, ..] if *first < 0x80 => bytes,
        _ => return None,
    };
    (magnitude.len() <= 48).then(|| (number(magnitude), rest))
}

/// Big-endian bytes, at most 48.
fn number(bytes: &[u8]) -> Limbs {
    let mut limbs = [0; 6];
    for (at, &byte) in bytes.iter().rev().enumerate() {
        limbs[at / 8] |= u64::from(byte) << (8 * (at % 8));
    }
    limbs
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P384_SHA256_ASN1, ParsedPublicKey};
    use proptest::prelude::*;

    use super::super::montgomery::Limbs;
    use super::*;

    /// b of y² = x³ − 3x + b (SP 800-186, 3.2.1.4).
    const B: Limbs = [
        0x2a85_c8ed_d3ec_2aef,
        0xc656_398d_8a2e_d19d,
        0x0314_088f_5013_875a,
        0x181d_9c6e_fe81_4112,
        0x988e_056b_e3f8_2d19,
        0xb331_2fa7_e23e_e7e4,
    ];

    fn affine_of(point: &Point) -> Affine {
        affine(&[*point])[0]
    }

    fn bytes(number: Limbs) -> Vec<u8> {
        number.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
    }

    fn encoded(point: &Affine) -> Vec<u8> {
        [vec![4], bytes(point.x.number()), bytes(point.y.number())].concat()
    }

    fn times_base(scalar: &Scalar) -> Point {
        sum_of(&[(&BASE_TABLE, scalar.number())])
    }

    fn der_integer(number: Limbs) -> Vec<u8> {
        let mut magnitude: Vec<u8> = bytes(number).into_iter().skip_while(|&byte| byte == 0).collect();
        if magnitude.first().is_none_or(|&first| first >= 0x80) {
            magnitude.insert(0, 0);
        }
        [vec![2, magnitude.len() as u8], magnitude].concat()
    }

    fn der(r: Limbs, s: Limbs) -> Vec<u8> {
        let content = [der_integer(r), der_integer(s)].concat();
        [vec![0x30, content.len() as u8], content].concat()
    }

    fn digest(message: &[u8]) -> Scalar {
        Scalar::new(number(&sha256([message]))).unwrap()
    }

    fn sign(secret: &Scalar, nonce: &Scalar, message: &[u8]) -> Vec<u8> {
        // the order is above 2^383, so one subtraction reduces any coordinate
        let x = affine_of(&times_base(nonce)).x.number();
        let r = Scalar::new(x).unwrap_or_else(|| Scalar::ZERO.minus(&Scalar::new(less_than(&x)).unwrap()));
        let s = nonce.inverted().times(&digest(message).plus(&r.times(secret)));
        der(r.number(), s.number())
    }

    /// n − x mod 2^384, for x ≥ n: the negative of x mod n.
    fn less_than(x: &Limbs) -> Limbs {
        let (mut difference, mut borrow) = ([0; 6], 0u64);
        for at in 0..6 {
            let wide = (1u128 << 64) + u128::from(x[at]) - u128::from(GroupOrder::LIMBS[at]) - u128::from(borrow);
            (difference[at], borrow) = (wide as u64, u64::from(wide >> 64 == 0));
        }
        Scalar::new(difference).unwrap().negated().number()
    }

    /// Both verdicts, which must agree; the library's is the reference.
    fn verdict(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let reference =
            ParsedPublicKey::new(&ECDSA_P384_SHA256_ASN1, key).unwrap().verify_sig(message, signature).is_ok();
        assert_eq!(Table::of_key(key).unwrap().verify(message, signature), reference, "{signature:02x?}");
        reference
    }

    fn scalar() -> impl Strategy<Value = Scalar> {
        any::<Limbs>()
            .prop_filter_map("below the order, not 0", |limbs| Scalar::new(limbs).filter(|scalar| !scalar.is_zero()))
    }

    proptest! {
        #[test]
        fn what_was_signed_verifies(secret in scalar(), nonce in scalar(), message: Vec<u8>) {
            let key = encoded(&affine_of(&times_base(&secret)));
            prop_assert!(verdict(&key, &message, &sign(&secret, &nonce, &message)));
        }

        #[test]
        fn any_change_is_judged_as_the_library_judges_it(
            secret in scalar(), nonce in scalar(), message: [u8; 32], at: prop::sample::Index, flip in 1..=255u8
        ) {
            let key = encoded(&affine_of(&times_base(&secret)));
            let good = sign(&secret, &nonce, &message);
            let mut changed = good.clone();
            changed[at.index(good.len())] ^= flip;
            prop_assert!(!verdict(&key, &message, &changed));
            prop_assert!(!verdict(&key, &message, &good[..at.index(good.len())]));
            prop_assert!(!verdict(&key, &message, &[&good[..], &[flip]].concat()));
            let mut other = message;
            other[at.index(32)] ^= flip;
            prop_assert!(!verdict(&key, &other, &good));
        }

        #[test]
        fn arbitrary_bytes_are_no_signature(secret in scalar(), signature in prop::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(!verdict(&encoded(&affine_of(&times_base(&secret))), b"message", &signature));
        }

        #[test]
        fn numbers_at_the_borders_are_judged_as_the_library_judges_them(secret in scalar(), r in border(), s in border()) {
            verdict(&encoded(&affine_of(&times_base(&secret))), b"message", &der(r, s));
        }

        #[test]
        fn residues_keep_the_laws_of_a_field(a in scalar(), b in scalar(), c in scalar()) {
            prop_assert_eq!(a.times(&b.plus(&c)), a.times(&b).plus(&a.times(&c)));
            prop_assert_eq!(a.minus(&b).plus(&b), a);
            prop_assert_eq!(a.times(&a.inverted()), Scalar::ONE);
            prop_assert_eq!(Scalar::new(a.number()), Some(a));
        }
    }

    /// 0, 1, 2, n ± 2, p ± 2, 2^384 − 1 …
    fn border() -> impl Strategy<Value = Limbs> {
        let around = |middle: Limbs| {
            (0..5u64).prop_map(move |step| {
                let mut number = middle;
                number[0] = number[0].wrapping_sub(2).wrapping_add(step);
                number
            })
        };
        prop_oneof![
            around([2, 0, 0, 0, 0, 0]),
            around(GroupOrder::LIMBS),
            around(FieldPrime::LIMBS),
            Just([u64::MAX; 6]),
            any::<Limbs>(),
        ]
    }

    #[test]
    fn the_base_point_is_on_the_curve_and_of_the_order() {
        let Affine { x, y } = Affine::of(&BASE).unwrap();
        let three = Coordinate::ONE.doubled().plus(&Coordinate::ONE);
        let cubic = x.squared().minus(&three).times(&x).plus(&Coordinate::new(B).unwrap());
        assert_eq!(y.squared(), cubic);
        let mut last = GroupOrder::LIMBS;
        last[0] -= 1;
        assert_eq!(affine_of(&sum_of(&[(&BASE_TABLE, last)])).y, y.negated());
        assert!(sum_of(&[(&BASE_TABLE, last), (&BASE_TABLE, [1, 0, 0, 0, 0, 0])]).is_neutral());
    }

    /// The key is ±G or a small multiple: both tables hold the same points, so that adding meets equal and opposite ones.
    #[test]
    fn keys_that_collide_with_the_base_verify() {
        for multiple in 1..40 {
            for secret in [
                Scalar::new([multiple, 0, 0, 0, 0, 0]).unwrap(),
                Scalar::new([multiple, 0, 0, 0, 0, 0]).unwrap().negated(),
            ] {
                let key = encoded(&affine_of(&times_base(&secret)));
                for nonce in [1, 2, 3, 1 << 23, 1 << 24, u64::MAX] {
                    let nonce = Scalar::new([nonce, 0, 0, 0, 0, 0]).unwrap();
                    assert!(verdict(&key, b"message", &sign(&secret, &nonce, b"message")));
                }
            }
        }
    }

    /// u₁·G + u₂·Q is the neutral element, which has no x.
    #[test]
    fn a_sum_without_a_coordinate_is_no_signature() {
        for r in 1..20 {
            let r = Scalar::new([r, r, 0, r, 0, 1]).unwrap();
            let secret = digest(b"message").times(&r.inverted()).negated();
            let key = encoded(&affine_of(&times_base(&secret)));
            assert!(!verdict(&key, b"message", &der(r.number(), [7, 0, 0, 0, 0, 0])));
        }
    }

    /// x of the sum is n or more, so that r is x − n: one point in 2^190, made on purpose.
    #[test]
    fn a_coordinate_beyond_the_order_counts_reduced() {
        let quarter: Limbs = {
            // (p + 1) / 4, the exponent of a square root
            let (next, _) = add(&FieldPrime::LIMBS, &[1, 0, 0, 0, 0, 0]);
            std::array::from_fn(|at| next[at] >> 2 | if at < 5 { next[at + 1] << 62 } else { 0 })
        };
        let three = Coordinate::ONE.doubled().plus(&Coordinate::ONE);
        let mut found = 0;
        for small in 1..60u64 {
            let r = [small, 0, 0, 0, 0, 0];
            let x = Coordinate::new(add(&GroupOrder::LIMBS, &r).0).unwrap();
            let square = x.squared().minus(&three).times(&x).plus(&Coordinate::new(B).unwrap());
            let mut y = Coordinate::ONE;
            for bit in (0..384).rev() {
                y = y.squared();
                if quarter[bit / 64] >> (bit % 64) & 1 == 1 {
                    y = y.times(&square);
                }
            }
            if y.squared() != square {
                continue;
            }
            // Q = r⁻¹ (s·R − z·G)
            let (sum, s) = (Affine { x, y }, Scalar::new([9, 8, 7, 6, 5, 4]).unwrap());
            let inverse = Scalar::new(r).unwrap().inverted();
            let of_base = digest(b"message").times(&inverse).negated();
            let key =
                sum_of(&[(&BASE_TABLE, of_base.number()), (&Table::of(&sum, KEY_WIDTH), s.times(&inverse).number())]);
            let key = encoded(&affine_of(&key));
            assert!(verdict(&key, b"message", &der(r, s.number())));
            assert!(!verdict(&key, b"message", &der(add(&r, &[1, 0, 0, 0, 0, 0]).0, s.number())));
            found += 1;
        }
        assert!(found > 10, "{found}");
    }
}
