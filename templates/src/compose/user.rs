//! The user: the last layer, small, and the only one that knows the user's ids.
//!
//! The account files are edited by awk rather than by useradd: it is the same on every base, makes
//! no lastlog of gigabytes for a large id, and takes ids and names that are there already. The new
//! line goes right below root's (for id 0: above it), so that a look-up by id finds it before an
//! older account with the same id, which stays reachable by its name.

use super::{Composer, env_name};
use crate::dockerfile::{Instruction, Purpose, Script, Word, script_word};
use crate::value::{ContainerPath, UserName};

/// Makes the account and its home folder, in place of an older account of the same name.
const ACCOUNT: &str = r#"
umask 022;
case "$USERNAME" in ''|[!A-Za-z_]*|*[!A-Za-z0-9_.-]*)
  echo "mlbuild: USERNAME='$USERNAME' isn't a user name" >&2; exit 1;;
esac;
for id in "$USER_UID" "$USER_GID"; do
  case "$id" in ''|*[!0-9]*) echo "mlbuild: USER_UID and USER_GID must be whole numbers, not '$id'" >&2; exit 1;; esac;
done;
home=/home/$USERNAME; shell=/bin/sh;
if [ -x /bin/bash ]; then shell=/bin/bash; fi;
[ -s /etc/passwd ] || echo root:x:0:0:root:/root:/bin/sh > /etc/passwd;
[ -s /etc/group ] || echo root:x:0: > /etc/group;
# put FILE LINE ID: below root's line (for id 0: above it), so that a look-up by id finds it first.
put() {
  awk -F: -v name="$USERNAME" -v line="$2" -v top="$(($3 == 0))"
    'top == 1 { print line; top = 2 } $1 != name { print } top == 0 { print line; top = 2 }' "$1" > /tmp/put;
  cat /tmp/put > "$1"; rm /tmp/put;
};
if [ "$USERNAME" = root ]; then
  home=/root;
  if [ "$USER_UID" != 0 ]; then echo "mlbuild: root is always uid 0, not $USER_UID" >&2; exit 1; fi;
else
  put /etc/passwd "$USERNAME:x:$USER_UID:$USER_GID::$home:$shell" "$USER_UID";
  put /etc/group "$USERNAME:x:$USER_GID:" "$USER_GID";
  if [ -s /etc/shadow ]; then put /etc/shadow "$USERNAME:*::0:99999:7:::" 1; fi;
fi;
if [ ! -d "$home" ]; then
  mkdir -p "$home"; if [ -d /etc/skel ]; then cp -R /etc/skel/. "$home"; fi;
fi;
chown -R "$USER_UID:$USER_GID" "$home";
"#;

/// Lets the account become root without a password.
const SUDO: &str = r#"
# The sudo group as well, where the base has one.
awk -F: -v OFS=: -v name="$USERNAME"
  '$1 == "sudo" { $4 = $4 == "" ? name : $4 "," name } { print }' /etc/group > /tmp/put;
cat /tmp/put > /etc/group; rm /tmp/put;
mkdir -p /etc/sudoers.d;
echo "$USERNAME ALL=(ALL) NOPASSWD:ALL" > /etc/sudoers.d/mlbuild-user;
chmod 0440 /etc/sudoers.d/mlbuild-user;
"#;

impl Composer<'_> {
    /// Makes the user, who also gets the given folders (not what is in them).
    pub(super) fn user_layer(&mut self, folders: &[&ContainerPath]) {
        let Some(user) = &self.spec.user else {
            return;
        };
        self.file
            .section("The user: one small last layer with all that belongs to these ids.");
        let gid = user.gid.map_or(user.uid.get(), |gid| gid.get());
        for (name, value) in [
            ("USERNAME", user.name.to_string()),
            ("USER_UID", user.uid.to_string()),
            ("USER_GID", gid.to_string()),
        ] {
            self.file.push(Instruction::Arg {
                name: env_name(name),
                default: Some(value.into()),
            });
        }
        let mut script = Script::strict();
        script.lines(ACCOUNT);
        if user.sudo {
            script.lines(SUDO);
        }
        for folder in folders.iter().filter(|folder| folder.as_str() != "/") {
            script.lines(&format!(
                "chown \"$USER_UID:$USER_GID\" {};",
                script_word(folder.as_str())
            ));
        }
        self.run_alone(script, Purpose::Account);
        self.file.push(Instruction::Env(vec![(
            env_name("PATH"),
            path_of(&user.name),
        )]));
        self.file
            .push(Instruction::User(Word::variable(env_name("USERNAME"))));
    }
}

/// PATH with the programs that pip installs for the user.
fn path_of(user: &UserName) -> Word {
    let path = Word::variable(env_name("PATH"));
    if user.as_str() == "root" {
        return path.then(":/root/.local/bin");
    }
    let path = path.then(":/home/").then_variable(env_name("USERNAME"));
    path.then("/.local/bin")
}
