//! Numbers with a range: user and group ids, ports.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::InvalidValue;

/// The largest id: 4294967295 means "no id" to the kernel.
const MAX_ID: i128 = 4_294_967_294;

fn check_id(kind: &'static str, text: &str) -> Result<u32, InvalidValue> {
    let hint = "give a whole number from 0 to 4294967294, such as the output of `id -u`";
    let bad = |reason: &str| Err(InvalidValue::new(kind, text, reason, hint));
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return bad("isn't a number");
    }
    match text.parse::<i128>() {
        Ok(n) if n < 0 => bad("is negative"),
        Ok(4_294_967_295) => bad("means \"no id\" to the kernel"),
        Ok(n) if n <= MAX_ID => Ok(n as u32),
        _ => bad("is too large"),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The number.
            pub fn get(self) -> u32 {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                check_id($kind, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u32(self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = deserializer.deserialize_any(NumberOrText($kind))?;
                number.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_294_u32 })
            }
        }
    };
}

id!(
    /// A user id, 0 to 4294967294.
    Uid,
    "uid"
);
id!(
    /// A group id, 0 to 4294967294.
    Gid,
    "gid"
);

/// Takes a number or text, so that a wrong one gets our message and not the deserializer's.
struct NumberOrText(&'static str);

impl serde::de::Visitor<'_> for NumberOrText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} as a number", self.0)
    }

    fn visit_i64<E>(self, v: i64) -> Result<String, E> {
        Ok(v.to_string())
    }

    fn visit_u64<E>(self, v: u64) -> Result<String, E> {
        Ok(v.to_string())
    }

    fn visit_str<E>(self, v: &str) -> Result<String, E> {
        Ok(v.to_owned())
    }
}

/// What travels over a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the usual one.
    Tcp,
    /// UDP.
    Udp,
}

/// A port that the container listens on: `5000`, `8001/tcp` or `53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    number: u16,
    protocol: Protocol,
}

impl Port {
    /// A TCP port. The number is 1 to 65535; use [`str::parse`] for one that was typed.
    pub const fn tcp(number: u16) -> Self {
        Self {
            number,
            protocol: Protocol::Tcp,
        }
    }

    /// The number, 1 to 65535.
    pub fn number(self) -> u16 {
        self.number
    }

    /// TCP or UDP.
    pub fn protocol(self) -> Protocol {
        self.protocol
    }
}

impl FromStr for Port {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let bad = |reason: &str| {
            InvalidValue::new(
                "port",
                text,
                reason,
                "give a number from 1 to 65535, optionally with /tcp or /udp",
            )
        };
        let (number, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((number, "tcp")) => (number, Protocol::Tcp),
            Some((number, "udp")) => (number, Protocol::Udp),
            Some(_) => return Err(bad("has an unknown protocol")),
        };
        if let Some((_, inside)) = number.rsplit_once(':') {
            return Err(InvalidValue::new(
                "port",
                text,
                "names a port of the host",
                format!(
                    "give {inside} alone: an image knows its own ports, and `docker run -p {text}` maps them"
                ),
            ));
        }
        let digits = number.strip_prefix('-').unwrap_or(number);
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
            return Err(bad("isn't a number"));
        }
        match number.parse::<u16>() {
            Ok(0) | Err(_) => Err(bad("is out of range")),
            Ok(number) => Ok(Self { number, protocol }),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Tcp => write!(f, "{}", self.number),
            Protocol::Udp => write!(f, "{}/udp", self.number),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.protocol {
            Protocol::Tcp => serializer.serialize_u16(self.number),
            Protocol::Udp => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(NumberOrText("port"))?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 65535 },
                { "type": "string", "pattern": "^[0-9]{1,5}(/(tcp|udp))?$" },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_what_is_wrong() {
        assert_eq!("0".parse::<Uid>().unwrap().get(), 0);
        assert_eq!("1000055".parse::<Uid>().unwrap().get(), 1_000_055);
        assert_eq!("4294967294".parse::<Gid>().unwrap().get(), 4_294_967_294);
        let message = |text: &str| text.parse::<Uid>().unwrap_err().to_string();
        insta::assert_snapshot!(message("-1"), @r#"uid "-1" is negative; give a whole number from 0 to 4294967294, such as the output of `id -u`"#);
        assert!(message("4294967295").contains("no id"));
        assert!(message("4294967296").contains("too large"));
        assert!(message(&"9".repeat(60)).contains("too large"));
        for text in ["", "abc", "1.5", "0x10", "+1", " 1", "1e3"] {
            assert!(message(text).contains("isn't a number"), "{text:?}");
        }
    }

    #[test]
    fn ports_take_a_protocol() {
        assert_eq!("8501".parse::<Port>().unwrap().to_string(), "8501");
        assert_eq!("8501/tcp".parse::<Port>().unwrap().to_string(), "8501");
        assert_eq!("53/udp".parse::<Port>().unwrap().to_string(), "53/udp");
        for text in ["0", "65536", "-1", "http", "80/icmp", "", "80/"] {
            assert!(text.parse::<Port>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_in_a_file_get_the_same_checks() {
        #[derive(Debug, Deserialize)]
        struct Row {
            #[allow(dead_code)]
            uid: Uid,
        }
        let error = toml::from_str::<Row>("uid = -1").unwrap_err();
        assert!(error.message().contains("negative"), "{error}");
        assert!(toml::from_str::<Row>("uid = \"1000\"").is_ok());
        assert!(toml::from_str::<Row>("uid = 1.5").is_err());
    }
}
