//! Finds what JSON cannot carry in a value, and where. serde_json silently writes `null` for NaN, and does not say
//! where a map has a key that it cannot write.
use std::{error::Error as StdError, fmt};

use serde::ser::{self, Serialize, Serializer};

/// The bytes. An error names the path, such as `orders[2].price`.
///
/// # Errors
/// [`Fault`], or what the value's own `Serialize` says.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
    let written = serde_json::to_vec(value);
    // Only these can hide a fault, so most values are visited once.
    if written.as_ref().is_ok_and(|bytes| !bytes.windows(4).any(|word| word == b"null")) {
        return Ok(written?);
    }
    value.serialize(Looking { path: &mut String::new() })?;
    Ok(written?)
}

/// A part that cannot be written, and its path.
#[derive(Debug)]
struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Fault {}

impl ser::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Walks through a value and writes nothing.
struct Looking<'a> {
    /// The current path.
    path: &'a mut String,
}

impl Looking<'_> {
    fn fault(&self, what: fmt::Arguments<'_>) -> Fault {
        let at = if self.path.is_empty() { "the value" } else { self.path.trim_start_matches('.') };
        Fault(format!("{at}: {what}"))
    }

    fn number(&self, number: f64) -> Result<(), Fault> {
        if number.is_finite() { Ok(()) } else { Err(self.fault(format_args!("{number} is not a JSON number"))) }
    }
}

/// Types that are not visited, because they can always be written.
macro_rules! fine {
    ($($method:ident: $type:ty),*) => { $(
        fn $method(self, _: $type) -> Result<(), Fault> { Ok(()) }
    )* };
}

impl<'a> Serializer for Looking<'a> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Within<'a>;
    type SerializeTuple = Within<'a>;
    type SerializeTupleStruct = Within<'a>;
    type SerializeTupleVariant = Within<'a>;
    type SerializeMap = Within<'a>;
    type SerializeStruct = Within<'a>;
    type SerializeStructVariant = Within<'a>;

    fine!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128);
    fine!(serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128, serialize_char: char);
    fine!(serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str);

    fn serialize_f32(self, number: f32) -> Result<(), Fault> {
        self.number(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Fault> {
        self.number(number)
    }

    fn serialize_none(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        Within::of(self, None).field(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Within<'a>, Fault> {
        Ok(Within::of(self, None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Within<'a>, Fault> {
        Ok(Within::of(self, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Within<'a>, Fault> {
        Ok(Within::of(self, None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Within<'a>, Fault> {
        Ok(Within::of(self, Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Within<'a>, Fault> {
        Ok(Within::of(self, None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Within<'a>, Fault> {
        Ok(Within::of(self, None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Within<'a>, Fault> {
        Ok(Within::of(self, Some(variant)))
    }
}

/// Inside a list, a map or a struct.
struct Within<'a> {
    path: &'a mut String,
    /// The length of the path up to here.
    bytes: usize,
    /// The next index of a list.
    at: usize,
    /// The key of the map's next value.
    key: String,
}

impl<'a> Within<'a> {
    fn of(Looking { path }: Looking<'a>, variant: Option<&str>) -> Self {
        if let Some(variant) = variant {
            path.push('.');
            path.push_str(variant);
        }
        let bytes = path.len();
        Self { path, bytes, at: 0, key: String::new() }
    }

    fn part<T: Serialize + ?Sized>(&mut self, place: fmt::Arguments<'_>, value: &T) -> Result<(), Fault> {
        use fmt::Write;
        let _ = self.path.write_fmt(place);
        value.serialize(Looking { path: self.path })?;
        self.path.truncate(self.bytes);
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Fault> {
        self.part(format_args!(".{name}"), value)
    }

    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let at = self.at;
        self.at += 1;
        self.part(format_args!("[{at}]"), value)
    }
}

/// The ways in which serde lists things.
macro_rules! within {
    ($($trait:ident: $method:ident($($name:ident)?) => $part:ident),*) => { $(
        impl ser::$trait for Within<'_> {
            type Ok = ();
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), Fault> {
                self.$part($($name,)? value)
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        }
    )* };
}

within!(SerializeSeq: serialize_element() => next, SerializeTuple: serialize_element() => next);
within!(SerializeTupleStruct: serialize_field() => next, SerializeTupleVariant: serialize_field() => next);
within!(SerializeStruct: serialize_field(name) => field, SerializeStructVariant: serialize_field(name) => field);

impl ser::SerializeMap for Within<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        // Written by serde_json itself, as the key of a map with one entry.
        let written = serde_json::to_value(One(key)).ok();
        let written = written.and_then(|map| map.as_object()?.keys().next().cloned());
        let at = Looking { path: self.path };
        self.key = written
            .ok_or_else(|| at.fault(format_args!("a key of this map is not a string: JSON allows only strings")))?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let key = std::mem::take(&mut self.key);
        self.field(&key, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

/// A map with one key.
struct One<'a, K: ?Sized>(&'a K);

impl<K: Serialize + ?Sized> Serialize for One<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.0, ())])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Order {
        id: u64,
        price: Option<f64>,
        notes: Vec<Option<&'static str>>,
    }

    #[derive(Serialize)]
    enum Shape {
        Circle { radius: f32 },
        Line(f64, f64),
        Point(f64),
    }

    fn order(price: f64) -> Order {
        Order { id: 1, price: Some(price), notes: vec![None] }
    }

    fn fault<T: Serialize>(value: T) -> String {
        to_json(&value).expect_err("it cannot be written").to_string()
    }

    #[test]
    fn what_json_carries_is_written_as_serde_json_does() {
        let value = BTreeMap::from([(1_u8, vec![order(0.5)]), (2, Vec::new())]);
        assert_eq!(to_json(&value).unwrap(), serde_json::to_vec(&value).unwrap());
        assert_eq!(to_json(&None::<f64>).unwrap(), b"null");
        assert_eq!(to_json(&u64::MAX).unwrap(), b"18446744073709551615");
        assert_eq!(to_json(&"null").unwrap(), br#""null""#);
        assert_eq!(to_json(&HashMap::from([(true, ())])).unwrap(), br#"{"true":null}"#);
    }

    #[test]
    fn numbers_that_are_none_are_named_with_their_place() {
        assert_eq!(fault(f64::NAN), "the value: NaN is not a JSON number");
        assert_eq!(fault(vec![order(1.0), order(f64::INFINITY)]), "[1].price: inf is not a JSON number");
        assert_eq!(fault(HashMap::from([("a b", f32::NEG_INFINITY)])), "a b: -inf is not a JSON number");
        assert_eq!(fault(Shape::Circle { radius: f32::NAN }), "Circle.radius: NaN is not a JSON number");
        assert_eq!(fault(Shape::Line(0.0, f64::NAN)), "Line[1]: NaN is not a JSON number");
        assert_eq!(fault((0, Shape::Point(f64::NAN))), "[1].Point: NaN is not a JSON number");
    }

    #[test]
    fn keys_that_are_no_text_are_named_with_their_place() {
        let prices = HashMap::from([((1, 2), 3)]);
        assert_eq!(
            fault(BTreeMap::from([("prices", prices)])),
            "prices: a key of this map is not a string: JSON allows only strings"
        );
        assert_eq!(
            fault(vec![BTreeMap::from([(vec![0], ())])]),
            "[0]: a key of this map is not a string: JSON allows only strings"
        );
    }
}
