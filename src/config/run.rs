//! `[run]`: the flags that every `mlbuild run` of a project has. The keys are the long flags, from
//! the one table of them.

use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::runtime::{FLAGS, Flag, Kind, Options, Rule, Setting};

/// The flags of `[run]`. A flag that repeats takes one value or a list; a switch takes `true` or
/// `false`; what is written `NAME=VALUE` may be a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunConfig(pub Options);

/// The keys that may stand there.
static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let known = FLAGS.iter().filter(|flag| flag.in_config);
    known.map(|flag| flag.name).collect()
});

impl<'de> de::Deserialize<'de> for RunConfig {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = RunConfig;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table of flags")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RunConfig, A::Error> {
                let mut options = Options::default();
                while let Some(flag) = map.next_key_seed(Key)? {
                    let values = map.next_value_seed(Values(flag))?;
                    values.into_iter().for_each(|setting| options.push(setting));
                }
                Ok(RunConfig(options))
            }
        }
        input.deserialize_map(Table)
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = &'static Flag;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<&'static Flag, D::Error> {
        input.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = &'static Flag;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a flag of mlbuild run")
    }
    fn visit_str<E: de::Error>(self, key: &str) -> Result<&'static Flag, E> {
        let known = FLAGS.iter().find(|flag| flag.in_config && flag.name == key);
        known.ok_or_else(|| E::unknown_field(key, &KEYS))
    }
}

/// Reads what stands behind a key.
#[derive(Clone, Copy)]
pub(crate) struct Values(pub(crate) &'static Flag);

impl Values {
    fn one<E: de::Error>(self, text: &str) -> Result<Vec<Setting>, E> {
        let read = Setting::parse(self.0, text);
        read.map(|setting| vec![setting])
            .map_err(|why| E::custom(format!("{} {text:?}: {why}", self.0.name)))
    }
}

impl<'de> DeserializeSeed<'de> for Values {
    type Value = Vec<Setting>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Vec<Setting>, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values {
    type Value = Vec<Setting>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match (self.0.kind, self.0.repeats) {
            (Kind::Bool, _) => "true or false",
            (_, true) => "a string or a list of strings",
            (_, false) => "a string",
        };
        write!(f, "{what} for `{}`", self.0.name)
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Vec<Setting>, E> {
        match (self.0.bare, on) {
            (Some(bare), true) => self.one(bare),
            (Some(_), false) if self.0.kind == Kind::Bool => self.one("false"),
            // What YAML makes of `off`.
            (_, false) if self.0.name == "gpu" => self.one("off"),
            _ => Err(E::invalid_type(de::Unexpected::Bool(on), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vec<Setting>, E> {
        self.one(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Vec<Setting>, E> {
        self.one(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Vec<Setting>, E> {
        self.one(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<Setting>, E> {
        self.one(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Setting>, A::Error> {
        if !self.0.repeats {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let mut all = Vec::new();
        while let Some(more) = list.next_element_seed(self)? {
            all.extend(more);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Vec<Setting>, A::Error> {
        if self.0.kind != Kind::Assignment {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let mut all = Vec::new();
        while let Some((name, value)) = table.next_entry::<String, String>()? {
            all.extend(self.one::<A::Error>(&format!("{name}={value}"))?);
        }
        Ok(all)
    }
}

impl JsonSchema for RunConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RunConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let known = FLAGS.iter().filter(|flag| flag.in_config);
        let properties: Map<String, Value> = known
            .map(|flag| (flag.name.to_owned(), property(flag)))
            .collect();
        json_schema!({
            "description": "`[run]`: flags that every `mlbuild run` of the project has. The keys are its long flags.",
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        })
    }
}

fn property(flag: &Flag) -> Value {
    let one = match flag.kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Integer | Kind::Decimal => json!({"type": "number"}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
        Kind::Bytes
        | Kind::Rule(Rule::BlkioWeight | Rule::Count | Rule::Swap | Rule::Swappiness) => {
            json!({"anyOf": [{"type": "string"}, {"type": "number"}]})
        }
        _ => json!({"type": "string"}),
    };
    let mut property = match (flag.repeats, flag.kind) {
        (false, _) => one,
        (true, Kind::Assignment) => {
            let table = json!({"type": "object", "additionalProperties": {"type": "string"}});
            json!({"anyOf": [one, {"type": "array", "items": one}, table]})
        }
        (true, _) => json!({"anyOf": [one, {"type": "array", "items": one}]}),
    };
    property["description"] = json!(flag.about);
    property
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, parse};

    fn read(text: &str) -> Result<String, ConfigError> {
        let config = parse(text, "mlbuild.toml".as_ref())?;
        let shown = |s: &crate::runtime::Setting| format!("{}={}", s.flag, s.value);
        Ok(config.run.0.iter().map(shown).collect::<Vec<_>>().join(" "))
    }

    fn error(text: &str) -> String {
        match read(text).unwrap_err() {
            ConfigError::Invalid {
                line,
                message,
                hint,
                ..
            } => {
                format!("{line}: {message}\n{}", hint.unwrap_or_default())
            }
            error => error.to_string(),
        }
    }

    #[test]
    fn keys_are_the_long_flags() {
        let text = "[run]\nenv = [\"A=1\", \"HF_TOKEN\"]\nvolume = \"/data:/data\"\nrm = true\n\
                    gpu = true\nshm-size = \"8g\"\ncpus = 1.5\ntty = false\nlabel = {team = \"vision\"}\n";
        let mut words: Vec<_> = read(text).unwrap().split(' ').map(str::to_owned).collect();
        words.sort();
        insta::assert_snapshot!(words.join("\n"), @r"
        --cpus=1.5
        --env=A=1
        --env=HF_TOKEN
        --gpu=required
        --label=team=vision
        --rm=true
        --shm-size=8g
        --tty=false
        --volume=/data:/data
        ");
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        insta::assert_snapshot!(error("[run]\nrm = true\nshmsize = \"1g\"\n"), @r"
        3: unknown key `shmsize`
        did you mean `shm-size`?
        ");
        insta::assert_snapshot!(error("[run]\nrm = true\nshm-size = \"1gg\"\n"), @r#"3: shm-size "1gg": not a size; write a number with b, k, m or g, such as 512m or 1g"#);
        insta::assert_snapshot!(error("[run]\nvolume = [\"/a:/a\", \"b:c\"]\n"), @r#"2: volume "b:c": the path in the container, `c`, must begin with /"#);
        insta::assert_snapshot!(error("[run]\n\nname = [\"a\"]\n"), @"3: invalid type: sequence, expected a string for `name`");
        insta::assert_snapshot!(error("[run]\nname = true\n"), @"2: invalid type: boolean `true`, expected a string for `name`");
        insta::assert_snapshot!(error("[run]\ndry-run = true\n").lines().next().unwrap(), @"2: unknown key `dry-run`");
    }
}
