//! Encodes values as bytes and decodes them.
use std::error::Error as StdError;

use bytes::Bytes;

#[cfg(feature = "json")]
use crate::json_faults::to_json;

/// Encodes values as bytes and decodes them.
pub trait Codec: Send + Sync + 'static {
    /// The type that callers use.
    type Value: Send + 'static;

    /// Its error is the rebuild's.
    fn encode(&self, value: Self::Value) -> Result<Bytes, Box<dyn StdError + Send + Sync>>;

    /// Its error becomes [`Error::Codec`](crate::Error::Codec).
    fn decode(&self, bytes: Bytes) -> Result<Self::Value, Box<dyn StdError + Send + Sync>>;
}

/// Values that are bytes. They are stored unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec for Raw {
    type Value = Bytes;

    fn encode(&self, value: Bytes) -> Result<Bytes, Box<dyn StdError + Send + Sync>> {
        Ok(value)
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, Box<dyn StdError + Send + Sync>> {
        Ok(bytes)
    }
}

/// JSON in UTF-8, by serde. A value that JSON cannot carry, such as NaN, is an error that names the path.
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(std::marker::PhantomData<fn() -> T>);

#[cfg(feature = "json")]
impl<T> Default for Json<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static> Codec for Json<T> {
    type Value = T;

    fn encode(&self, value: T) -> Result<Bytes, Box<dyn StdError + Send + Sync>> {
        Ok(to_json(&value)?.into())
    }

    fn decode(&self, bytes: Bytes) -> Result<T, Box<dyn StdError + Send + Sync>> {
        Ok(serde_json::from_slice(&bytes)?)
    }
}
