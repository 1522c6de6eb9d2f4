//! Tensors as the Open Inference Protocol names them: a datatype, a shape, and row-major elements.
use std::fmt;

macro_rules! datatypes {
    ($($(#[$documentation:meta])* $variant:ident($element:ty) = $name:literal,)+) => {
        /// The datatype of a tensor's elements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Datatype { $($(#[$documentation])* $variant,)+ }

        impl Datatype {
            /// Every datatype that can be served.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The protocol's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        /// The elements of a tensor, in row-major order.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Data { $($(#[$documentation])* $variant(Vec<$element>),)+ }

        impl Data {
            /// The datatype of the elements.
            pub fn datatype(&self) -> Datatype {
                match self { $(Self::$variant(_) => Datatype::$variant,)+ }
            }

            /// `count` elements that are zero, false, or empty.
            pub fn zeros(datatype: Datatype, count: usize) -> Self {
                match datatype { $(Datatype::$variant => Self::$variant(vec![<$element>::default(); count]),)+ }
            }
        }
    };
}

datatypes! {
    /// Boolean.
    Bool(bool) = "BOOL",
    /// Unsigned, 8 bits.
    Uint8(u8) = "UINT8",
    /// Unsigned, 16 bits.
    Uint16(u16) = "UINT16",
    /// Unsigned, 32 bits.
    Uint32(u32) = "UINT32",
    /// Unsigned, 64 bits.
    Uint64(u64) = "UINT64",
    /// Signed, 8 bits.
    Int8(i8) = "INT8",
    /// Signed, 16 bits.
    Int16(i16) = "INT16",
    /// Signed, 32 bits.
    Int32(i32) = "INT32",
    /// Signed, 64 bits.
    Int64(i64) = "INT64",
    /// Floating point, 32 bits.
    Fp32(f32) = "FP32",
    /// Floating point, 64 bits.
    Fp64(f64) = "FP64",
    /// UTF-8 strings.
    Bytes(String) = "BYTES",
}

impl fmt::Display for Datatype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Datatype {
    /// The datatype of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|datatype| datatype.name() == name)
    }
}

/// A tensor: its elements are as many as its shape says.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The size of each dimension.
    pub shape: Vec<i64>,
    /// The elements.
    pub data: Data,
}

/// What a model says of one of its inputs or outputs; a dimension of any size is -1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name.
    pub name: String,
    /// The datatype.
    pub datatype: Datatype,
    /// The size of each dimension, -1 for any.
    pub shape: Vec<i64>,
}

impl Signature {
    /// A tensor of zeros with every open dimension 1, for a warm-up; `None` beyond 2^28 elements.
    pub fn zeros(&self) -> Option<Tensor> {
        let shape: Vec<i64> = self.shape.iter().map(|size| if *size < 0 { 1 } else { *size }).collect();
        let count = elements(&shape).filter(|count| *count <= 1 << 28)?;
        Some(Tensor { shape, data: Data::zeros(self.datatype, count) })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` ({} {:?})", self.name, self.datatype, self.shape)
    }
}

/// How many elements a shape has; `None` if a dimension is negative or the product is beyond 2^40.
pub fn elements(shape: &[i64]) -> Option<usize> {
    let mut count: i64 = 1;
    for size in shape {
        count = count.checked_mul(*size).filter(|_| *size >= 0)?;
    }
    usize::try_from(count).ok().filter(|count| *count <= 1 << 40)
}
