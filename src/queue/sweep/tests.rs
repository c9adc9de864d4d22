use super::*;

/// The example of W&B's page "Add W&B to your code", with a search that needs no results.
const TUTORIAL: &str = "program: train.py\nmethod: random\nname: sweep\nmetric:\n  goal: maximize\n  name: val_acc\nrun_cap: 3\n\
    parameters:\n  batch_size:\n    values: [16, 32, 64]\n  lr:\n    min: 0.0001\n    max: 0.1\n  epochs:\n    values: [5, 10, 15]\n";

fn lines(text: &str, most: Option<usize>) -> Vec<String> {
    let sweep = Sweep::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let runs = sweep.runs(most, 7).unwrap();
    runs.into_iter().map(|run| run.command.join(" ")).collect()
}

#[test]
fn a_grid_has_every_combination() {
    let text = "program: train.py\nmethod: grid\nparameters:\n  a: {values: [x, 2]}\n  b: {min: 1, max: 3}\n  c: {value: true}\n";
    insta::assert_snapshot!(lines(text, None).join("\n"), @r"
    /usr/bin/env python train.py --a=x --b=1 --c=True
    /usr/bin/env python train.py --a=x --b=2 --c=True
    /usr/bin/env python train.py --a=x --b=3 --c=True
    /usr/bin/env python train.py --a=2 --b=1 --c=True
    /usr/bin/env python train.py --a=2 --b=2 --c=True
    /usr/bin/env python train.py --a=2 --b=3 --c=True
    ");
    assert_eq!(lines(text, Some(2)).len(), 2);
    assert_eq!(lines(&format!("{text}run_cap: 4"), None).len(), 4);
    // Only the first of very many.
    let long =
        "program: t\nmethod: grid\nparameters: {a: {values: [1, 2]}, b: {min: 1, max: 9000000000}}";
    assert_eq!(
        lines(long, Some(2)),
        [
            "/usr/bin/env python t --a=1 --b=1",
            "/usr/bin/env python t --a=1 --b=2"
        ]
    );
}

/// Files of some kilobytes that come to gigabytes of runs, or of values that no run has.
#[test]
fn a_small_file_makes_no_mountain_of_runs() {
    let head = "program: t\nmethod: grid\nparameters:\n";
    let large = format!(
        "{head}  a: {{value: {}}}\n  b: {{min: 1, max: 10000}}\n",
        "x".repeat(100_000)
    );
    let refused = Sweep::parse(&large).unwrap().runs(None, 7).unwrap_err();
    assert!(
        matches!(refused, SweepError::TooLarge { runs: 10_000, .. }),
        "{refused}"
    );
    let random = large.replace("grid", "random");
    let refused = Sweep::parse(&random)
        .unwrap()
        .runs(Some(9000), 7)
        .unwrap_err();
    assert!(
        matches!(refused, SweepError::TooLarge { runs: 9000, .. }),
        "{refused}"
    );
    let wide: String = (0..3000)
        .map(|n| format!("  p{n}: {{min: 0, max: 9000000000}}\n"))
        .collect();
    let wide = Sweep::parse(&format!("{head}{wide}")).unwrap();
    let refused = wide.runs(None, 7).unwrap_err();
    assert!(
        matches!(refused, SweepError::TooMany(usize::MAX)),
        "{refused}"
    );
    // No value of an axis is made before a run has it.
    let axes = parameter::axes("parameters", &wide.parameters).unwrap();
    assert!(size_of_val(axes.as_slice()) < 1 << 20);
    assert_eq!(axes[0].value(10_000), 10_000);
}

#[test]
fn commands_have_the_macros_of_the_documentation() {
    let all = "method: grid\nprogram: t.py\nparameters: {f: {value: false}, t: {value: true}, n: {value: 0.5}, \
               o: {parameters: {k: {values: [a]}}}, s: {value: null}}\ncommand: ";
    let line = |command: &str| lines(&format!("{all}{command}"), None).remove(0);
    insta::assert_snapshot!([
        "['${args}']",
        "['${program}', '${args_no_boolean_flags}', x]",
        "'${interpreter} -m pkg \"a b\" ${args_no_hyphens}'",
        "['${env}', '${args_json}']",
    ]
    .map(line)
    .join("\n"), @r#"
    --f=False --n=0.5 --o={'k': 'a'} --s=None --t=True
    t.py --n=0.5 --o={'k': 'a'} --s=None --t x
    python -m pkg a b f=False n=0.5 o={'k': 'a'} s=None t=True
    /usr/bin/env {"f":false,"n":0.5,"o":{"k":"a"},"s":null,"t":true}
    "#);
}

#[test]
fn a_random_search_is_the_same_for_a_seed_and_keeps_its_bounds() {
    let sweep = Sweep::parse(TUTORIAL).unwrap();
    assert_eq!(
        sweep.unused,
        ["name", "metric"]
            .map(str::to_owned)
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
    let runs = sweep.runs(None, 1).unwrap();
    assert_eq!(runs.len(), 3);
    assert_eq!(runs, sweep.runs(None, 1).unwrap());
    assert_ne!(runs, sweep.runs(None, 2).unwrap());
    for (text, least, most) in [
        ("min: 0.0001, max: 0.1", 0.0001, 0.1),
        ("min: 3, max: 5", 3.0, 5.0),
        ("distribution: int_uniform, min: -1, max: 1", -1.0, 1.0),
        ("distribution: q_uniform, min: 0, max: 1, q: 0.25", 0.0, 1.0),
        (
            "distribution: log_uniform, min: -9.3, max: -2.3",
            9e-5,
            0.101,
        ),
        (
            "distribution: log_uniform_values, min: 1.0e-5, max: 0.1",
            1e-5,
            0.1,
        ),
        (
            "distribution: q_log_uniform_values, min: 32, max: 256, q: 8",
            32.0,
            256.0,
        ),
        (
            "distribution: inv_log_uniform, min: 2.3, max: 9.3",
            9e-5,
            0.101,
        ),
        (
            "distribution: inv_log_uniform_values, min: 0.5, max: 2",
            0.5,
            2.0,
        ),
        ("distribution: normal, mu: 10, sigma: 0.1", 9.0, 11.0),
        ("distribution: log_normal, mu: 0, sigma: 0", 1.0, 1.0),
        (
            "distribution: categorical, values: [1, 2, 9], probabilities: [1, 1, 0]",
            1.0,
            2.0,
        ),
    ] {
        let text = format!("program: t\nmethod: random\nparameters: {{p: {{{text}}}}}");
        for run in Sweep::parse(&text).unwrap().runs(Some(200), 3).unwrap() {
            let value = run.parameters["p"].as_f64().unwrap();
            assert!((least..=most).contains(&value), "{text}: {value}");
        }
    }
    let steps = Sweep::parse(
        "program: t\nmethod: random\nparameters: {p: {distribution: q_uniform, min: 0, max: 9, q: 3}}",
    );
    for run in steps.unwrap().runs(Some(50), 3).unwrap() {
        assert_eq!(run.parameters["p"].as_i64().unwrap() % 3, 0);
    }
}

#[test]
fn what_is_wrong_is_named_by_its_key() {
    let with = |text: &str| {
        let sweep = Sweep::parse(text).and_then(|sweep| sweep.runs(None, 0).map(drop));
        sweep.map_or_else(|error| error.to_string(), |()| "taken".to_owned())
    };
    let grid = "program: t\nmethod: grid\nparameters: ";
    insta::assert_snapshot!(
        [
            "method: bayes\nparameters: {a: {value: 1}}\nprogram: t".to_owned(),
            "parameters: {a: {value: 1}}\nprogram: t".to_owned(),
            "method: grid\nprogram: t".to_owned(),
            "method: grid\nparameters: {a: {value: 1}}".to_owned(),
            "methd: grid".to_owned(),
            "- a".to_owned(),
            format!("{grid}{{a: 1}}"),
            format!("{grid}{{a: {{vlues: [1]}}}}"),
            format!("{grid}{{a: {{values: []}}}}"),
            format!("{grid}{{a: {{min: 0.5, max: 1}}}}"),
            format!("{grid}{{a: {{min: 5, max: 1}}}}"),
            format!("{grid}{{a: {{min: 0, max: 9223372036854775807}}}}"),
            format!("{grid}{{a: {{min: 1, max: 1000}}, b: {{min: 1, max: 1000}}}}"),
            format!("{grid}{{a: {{distribution: beta, min: 0, max: 1}}}}"),
            format!("{grid}{{a: {{values: [1, 2], probabilities: [1]}}}}"),
            format!("{grid}{{a: {{min: '1e-4', max: 1}}}}"),
            format!("{grid}{{a: {{value: 1}}}}\ncommand: [t]"),
            format!("{grid}{{a: {{value: 1}}}}\ncommand: [t, '--x=${{args}}']"),
            format!("{grid}{{a: {{value: 1}}}}\ncommand: [t, '${{args_json_file}}']"),
            format!("{grid}{{a: {{value: 1}}}}\ncommand: [t, '${{envvar:HOME}}', '${{args}}']"),
            format!("{grid}{{a: {{value: 1}}}}\nrun_cap: 0"),
            "program: t\nmethod: random\nparameters: {a: {value: 1}}".to_owned(),
        ]
        .map(|text| with(&text))
        .join("\n")
    );
}
