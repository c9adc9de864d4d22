//! A grid of values: each of its points is a run of its own.
//!
//! `--array lr=1e-3,1e-4 --array seed=0..4` has ten points. The last axis changes first.

use mlbuild_secrets::must_hide;

use super::options::Options;
use super::render::LeftOut;

/// The flag's name.
pub const FLAG: &str = "array";
/// The flag's name that says how many points run at once.
pub const AT_ONCE_FLAG: &str = "parallelism";
/// So many points an array may have.
pub const MOST_POINTS: usize = 10_000;

/// One variable, and the values that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The variable's name.
    pub name: String,
    /// Its values.
    pub values: Vec<String>,
}

/// A piece of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text.
    Text(&'a str),
    /// The value of the axis with this name.
    Value(&'a str),
}

/// A grid, of at least one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Its axes.
    pub axes: Vec<Axis>,
    /// How many of its points may run at once; none: as many as there is room for.
    pub at_once: Option<u32>,
}

impl Array {
    /// Reads the flags; `None` where there is none.
    ///
    /// # Errors
    /// Where one isn't as it has to be: which, and what to write.
    pub fn read(own: &Options) -> Result<Option<Self>, LeftOut> {
        let array = Self::of(own.all(FLAG).map(ToString::to_string))?;
        let Some(text) = own.text(AT_ONCE_FLAG) else {
            return Ok(array);
        };
        let refused = |why: &str| LeftOut {
            what: format!("--{AT_ONCE_FLAG}={text}"),
            why: why.to_owned(),
        };
        let at_once = match text.parse::<u32>() {
            Ok(number) if number > 0 => number,
            _ => return Err(refused("write a whole number from 1")),
        };
        let Some(mut array) = array else {
            return Err(refused(
                "it is for the points of --array, and there are none",
            ));
        };
        array.at_once = Some(at_once);
        Ok(Some(array))
    }

    /// Reads the flags' values.
    ///
    /// # Errors
    /// As [`Array::read`].
    pub fn of(texts: impl IntoIterator<Item = String>) -> Result<Option<Self>, LeftOut> {
        let mut axes: Vec<Axis> = Vec::new();
        let mut points = 1_usize;
        for text in texts {
            let refused = |why: String| LeftOut {
                // A value that looks like a secret isn't said again.
                what: format!("--{FLAG} {}", text.split('=').next().unwrap_or_default()),
                why,
            };
            let axis = axis(&text).map_err(refused)?;
            if axes.iter().any(|known| known.name == axis.name) {
                return Err(refused(
                    "it is given twice: write all values after one `=`, with commas".to_owned(),
                ));
            }
            points = points.saturating_mul(axis.values.len());
            if points > MOST_POINTS {
                return Err(refused(too_many()));
            }
            axes.push(axis);
        }
        let at_once = None;
        Ok(Some(Self { axes, at_once }).filter(|array| !array.axes.is_empty()))
    }

    /// The flag's values that make the same points.
    pub fn texts(&self) -> Vec<String> {
        let text = |axis: &Axis| format!("{}={}", axis.name, axis.values.join(","));
        self.axes.iter().map(text).collect()
    }

    /// How many points it has.
    pub fn len(&self) -> usize {
        self.axes.iter().map(|axis| axis.values.len()).product()
    }

    /// Whether it has none, which doesn't happen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By how many points an axis' value changes once.
    pub fn stride(&self, axis: usize) -> usize {
        let after = self.axes.iter().skip(axis + 1);
        after.map(|axis| axis.values.len()).product()
    }

    /// A word of the command, taken apart where `{NAME}` of an axis stands in it. `${NAME}` is a shell's: the
    /// variable of the container.
    pub fn pieces<'a>(&'a self, word: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut rest = word;
        let next = |text: &'a str| {
            let mut braces = text.match_indices('{');
            braces.find_map(|(at, _)| {
                if text[..at].ends_with('$') {
                    return None;
                }
                let (name, after) = text[at + 1..].split_once('}')?;
                let is_known = self.axes.iter().any(|axis| axis.name == name);
                is_known.then(|| (&text[..at], name, after))
            })
        };
        while let Some((before, name, after)) = next(rest) {
            if !before.is_empty() {
                pieces.push(Piece::Text(before));
            }
            pieces.push(Piece::Value(name));
            rest = after;
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(rest));
        }
        pieces
    }

    /// The command of a point.
    pub fn command(&self, words: &[String], index: usize) -> Vec<String> {
        let point = self.point(index);
        let value = |name: &str| {
            let of_name = point.iter().find(|(known, _)| *known == name);
            of_name.map_or("", |(_, value)| *value)
        };
        let word = |word: &String| {
            let pieces = self.pieces(word).into_iter();
            let pieces = pieces.map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Value(name) => value(name),
            });
            pieces.collect()
        };
        words.iter().map(word).collect()
    }

    /// The values of a point, each with its name.
    pub fn point(&self, index: usize) -> Vec<(&str, &str)> {
        let of = |(at, axis): (usize, &'_ Axis)| index / self.stride(at) % axis.values.len();
        self.axes
            .iter()
            .enumerate()
            .map(|(at, axis)| {
                let value = &axis.values[of((at, axis))];
                (axis.name.as_str(), value.as_str())
            })
            .collect()
    }
}

/// The id of a point's run.
pub fn run_of_point(run: &str, index: usize) -> String {
    format!("{run}-{index}")
}

/// The array's run and the point's number, of a point's run.
pub fn point_of_run(run: &str) -> Option<(&str, u32)> {
    let (array, number) = run.rsplit_once('-')?;
    let number: u32 = number.parse().ok().filter(|_| !array.is_empty())?;
    // `x-07` and `x-+7` are other runs.
    (run_of_point(array, number as usize) == run).then_some((array, number))
}

/// The number of a recorded run among an array's points, where its flags say that it is one.
pub fn point_of_record(run: &str, options: &[String]) -> Option<u32> {
    let prefix = format!("--{FLAG}=");
    let is_point = options.iter().any(|option| option.starts_with(&prefix));
    point_of_run(run)
        .filter(|_| is_point)
        .map(|(_, number)| number)
}

fn axis(text: &str) -> Result<Axis, String> {
    let Some((name, values)) = text.split_once('=') else {
        return Err("write NAME=VALUE,VALUE or NAME=FIRST..LAST".to_owned());
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || !name.chars().all(is_word)
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(
            "its name is a variable's: letters, digits and `_`, with no digit first".to_owned(),
        );
    }
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("MLBUILD_") || upper.starts_with("SLURM_") {
        return Err("names that begin so are taken: choose another one".to_owned());
    }
    let mut all = Vec::new();
    for part in values.split(',') {
        match range(part)? {
            Some(numbers) => all.extend(numbers),
            None => all.push(part.to_owned()),
        }
        if all.len() > MOST_POINTS {
            return Err(too_many());
        }
    }
    let values = all;
    if values.iter().any(String::is_empty) {
        return Err("a value is empty: write one between two commas".to_owned());
    }
    if values
        .iter()
        .any(|value| value.chars().any(char::is_control))
    {
        return Err("a value has a control character, which no value can have".to_owned());
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = values.iter().find(|value| !seen.insert(value.as_str())) {
        return Err(match must_hide(name, twice) {
            true => "a value is given twice".to_owned(),
            false => format!("the value {twice} is given twice"),
        });
    }
    if values.iter().any(|value| must_hide(name, value)) {
        return Err(
            "it looks like a secret, and values of an array are in scripts and records: -e NAME hands one on"
                .to_owned(),
        );
    }
    Ok(Axis {
        name: name.to_owned(),
        values,
    })
}

fn too_many() -> String {
    format!("the array has more than {MOST_POINTS} points: submit it in parts")
}

/// `FIRST..LAST`, both included; `None` for what is no range of numbers.
fn range(text: &str) -> Result<Option<Vec<String>>, String> {
    let Some((first, last)) = text.split_once("..") else {
        return Ok(None);
    };
    let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else {
        // A point of such a value would be a range where its run is restored.
        let is_number = |text: &str| text.parse::<f64>().is_ok();
        if is_number(first) && is_number(last) {
            return Err(format!(
                "{text} is no range of whole numbers: write the values, with commas"
            ));
        }
        return Ok(None);
    };
    if first > last {
        return Err("a range goes from a smaller number to a larger one".to_owned());
    }
    if first.abs_diff(last) >= MOST_POINTS as u64 {
        return Err(too_many());
    }
    Ok(Some(
        (first..=last).map(|number| number.to_string()).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::kubernetes::SUBMIT;
    use super::*;

    fn read(flags: &[&str]) -> Result<Option<Array>, String> {
        let words = ["--slurm"]
            .into_iter()
            .chain(flags.iter().flat_map(|flag| ["--array", flag]))
            .chain(["image"]);
        let words: Vec<&str> = words.collect();
        let parsed = SUBMIT.parse_with_image(&words).unwrap();
        Array::read(&parsed.own).map_err(|part| format!("{}: {}", part.what, part.why))
    }

    #[test]
    fn a_grid_has_the_points_of_all_axes() {
        assert_eq!(read(&[]), Ok(None));
        let array = read(&["lr=1e-3,1e-4", "seed=-1..1"]).unwrap().unwrap();
        assert_eq!(array.len(), 6);
        let points: Vec<String> = (0..6)
            .map(|at| {
                let point = array.point(at);
                format!("{}/{}", point[0].1, point[1].1)
            })
            .collect();
        assert_eq!(
            points,
            ["1e-3/-1", "1e-3/0", "1e-3/1", "1e-4/-1", "1e-4/0", "1e-4/1"]
        );
        assert_eq!(array.point(4), [("lr", "1e-4"), ("seed", "0")]);
        let words = [
            "a{lr}b{seed}",
            "{seed",
            "{x}{lr}",
            "",
            "{{lr}}",
            "--lr ${lr} {lr}",
        ];
        assert_eq!(
            array.command(&words.map(str::to_owned), 4),
            [
                "a1e-4b0",
                "{seed",
                "{x}1e-4",
                "",
                "{1e-4}",
                "--lr ${lr} 1e-4"
            ]
        );
        // What is no range of numbers is a value.
        let array = read(&["path=../a,a..b"]).unwrap().unwrap();
        assert_eq!(array.axes[0].values, ["../a", "a..b"]);
        let array = read(&["seed=0..2,10,20..21"]).unwrap().unwrap();
        assert_eq!(array.axes[0].values, ["0", "1", "2", "10", "20", "21"]);
        assert_eq!(read(&["n=1..10000"]).unwrap().unwrap().len(), 10_000);
        let array = read(&["lr=1e-3,1e-4", "seed=-1..1"]).unwrap().unwrap();
        assert_eq!(Array::of(array.texts()), Ok(Some(array)));
    }

    #[test]
    fn so_many_points_run_at_once() {
        let read = |line: &str| {
            let words: Vec<&str> = line.split(' ').chain(["image"]).collect();
            let own = SUBMIT.parse_with_image(&words).unwrap().own;
            let array = Array::read(&own).map_err(|part| format!("{}: {}", part.what, part.why));
            array.map(|array| array.and_then(|array| array.at_once))
        };
        assert_eq!(read("--array n=1,2"), Ok(None));
        assert_eq!(read("--array n=1,2 --parallelism 4"), Ok(Some(4)));
        for (line, said) in [
            ("--array n=1,2 --parallelism 0", "--parallelism=0: write"),
            ("--array n=1,2 --parallelism=-1", "--parallelism=-1: write"),
            ("--parallelism 2", "points of --array"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn a_points_run_is_told_from_others() {
        for (run, wanted) in [
            ("grid-0", Some(("grid", 0))),
            ("a-b-12", Some(("a-b", 12))),
            ("grid", None),
            ("grid-", None),
            ("grid-07", None),
            ("grid-+7", None),
            ("-7", None),
            ("grid-99999999999", None),
        ] {
            assert_eq!(point_of_run(run), wanted, "{run}");
        }
    }

    #[test]
    fn what_is_no_grid_is_refused_with_what_to_write() {
        for (flags, said) in [
            (&["lr"][..], "NAME=VALUE"),
            (&["=1"], "letters"),
            (&["1a=1"], "letters"),
            (&["a-b=1"], "letters"),
            (&["mlbuild_x=1"], "taken"),
            (&["MLBUILD_RUN_ID=1"], "taken"),
            (&["SLURM_JOB_ID=1"], "taken"),
            (&["lr="], "empty"),
            (&["lr=1,,2"], "empty"),
            (&["lr=1,2,1"], "1 is given twice"),
            (&["lr=1", "lr=2"], "it is given twice"),
            (&["lr=a\nb"], "control"),
            (&["n=4..1"], "smaller"),
            (&["n=7,4..1"], "smaller"),
            (&["lr=0.1..0.5"], "0.1..0.5 is no range of whole numbers"),
            (&["lr=1e-3..1"], "1e-3..1 is no range of whole numbers"),
            (&["n=0..2,1"], "1 is given twice"),
            (&["n=0..10000"], "10000 points"),
            (
                &["n=-9223372036854775808..9223372036854775807"],
                "10000 points",
            ),
            (&["n=0..999", "m=0..10"], "10000 points"),
            (&["API_TOKEN=s3cr3t-value-of-it"], "secret"),
        ] {
            let error = read(flags).unwrap_err();
            assert!(error.contains(said), "{flags:?}: {error}");
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }
}
