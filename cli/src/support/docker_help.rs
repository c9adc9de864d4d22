//! Help, completions, manual page and reference, from the table of flags.

use clap::{Arg, ArgAction, Command, ValueHint};

use mlbuild::runtime::{Flag, Grammar, Kind, Owner};

/// A verb that starts containers with every flag, for what is read and not parsed: the line itself
/// is read by its [`Grammar`], which is docker's.
pub(crate) fn documented(raw: Command, grammar: Grammar, usage: &str) -> Command {
    let mut command = Command::new(grammar.verb)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .override_usage(format!("mlbuild {} [FLAGS] {usage}", grammar.verb))
        .args(grammar.flags().map(arg))
        .args(
            usage
                .contains("IMAGE")
                .then(|| Arg::new("IMAGE").help("The image")),
        )
        .arg(
            Arg::new("COMMAND")
                .help("The command and its arguments, instead of the image's own")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true),
        );
    if let Some(about) = raw.get_about() {
        command = command.about(about.clone());
    }
    match raw.get_long_about() {
        Some(about) => command.long_about(about.clone()),
        None => command,
    }
}

/// What `--help` prints for such a verb.
pub(crate) fn text(grammar: Grammar) -> String {
    let mut all = crate::definition();
    all.build();
    let verb = all.find_subcommand_mut(grammar.verb).expect("a verb");
    verb.render_long_help().to_string()
}

fn arg(flag: &'static Flag) -> Arg {
    let heading = match flag.owner {
        Owner::Mlbuild => "mlbuild's own flags",
        Owner::Docker => "Flags of docker run",
    };
    let mut arg = Arg::new(flag.name)
        .long(flag.name)
        .help(flag.about)
        .help_heading(heading);
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    if let Some(alias) = flag.alias {
        arg = arg.visible_alias(alias);
    }
    if flag.kind == Kind::Bool {
        return arg.action(ArgAction::SetTrue);
    }
    arg = arg.value_name(flag.value_name).allow_hyphen_values(true);
    if let Some(bare) = flag.bare {
        arg = arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(bare);
    }
    if let Kind::OneOf(words) = flag.kind {
        arg = arg.value_parser(clap::builder::PossibleValuesParser::new(words));
    }
    if flag.value_name == "FILE" {
        arg = arg.value_hint(ValueHint::FilePath);
    }
    if flag.repeats {
        arg.action(ArgAction::Append)
    } else {
        arg.action(ArgAction::Set)
    }
}
