//! How values become bytes and come back.
use std::error::Error as StdError;

use bytes::Bytes;

#[cfg(feature = "json")]
use crate::json_faults::to_json;

/// How values become bytes and come back.
pub trait Codec: Send + Sync + 'static {
    /// What callers have.
    type Value: Send + 'static;

    /// An error of it is one of the rebuild.
    fn encode(&self, value: Self::Value) -> Result<Bytes, Box<dyn StdError + Send + Sync>>;

    /// An error of it is [`Error::Codec`](crate::Error::Codec).
    fn decode(&self, bytes: Bytes) -> Result<Self::Value, Box<dyn StdError + Send + Sync>>;
}

/// Values that are bytes already, and travel as they are.
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

/// JSON in UTF-8, by serde. What JSON cannot carry, such as NaN, is an error that names its place.
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
