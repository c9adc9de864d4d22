//! The account files: who the image's user is, and the files' text for the new one.
//!
//! The new lines stand where the templates put them: below root's, so that a look-up by id
//! finds them before an older account with the same id.

use mlbuild_templates::value::UserName;

use super::NewOwner;
use super::error::{Remedy, ReownError};
use super::tree::{Entries, content};

/// A user of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u64,
    /// Group id.
    pub gid: u64,
    /// Home folder, with a leading `/`; none for an account without one.
    pub home: Option<String>,
}

/// Who goes and who comes.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) was: Account,
    pub(super) now: Account,
    /// True if the old user has a group of the same name for itself.
    pub(super) has_own_group: bool,
}

/// Homes that aren't there.
const NO_HOME: [&str; 4] = ["", "/", "/nonexistent", "/dev/null"];

impl Change {
    /// Finds the image's user, and checks that the layer holds all that has to change.
    pub(super) fn new(
        entries: &Entries,
        user: &str,
        to: &NewOwner,
        is_template: bool,
    ) -> Result<Self, ReownError> {
        let file = |path: &str| {
            content(entries, path).ok_or_else(|| {
                ReownError::refused(
                    format!("its last layer has no /{path}: the user was made in another layer"),
                    Remedy::BuildForOwner,
                )
            })
        };
        let (passwd, group) = (file("etc/passwd")?, file("etc/group")?);
        let was = find(passwd, group, user)?;
        if was.uid == 0 {
            return Err(ReownError::refused(
                "its user is root: what belongs to that user can't be told from the system's files",
                Remedy::BuildForOwner,
            ));
        }
        check_home(entries, &was)?;
        let name = to.name.clone().unwrap_or_else(|| was.name.clone());
        if name == "root" && (to.uid, to.gid) != (0, 0) {
            return Err(ReownError::refused("root is always 0:0", Remedy::OtherName));
        }
        let home = match &was.home {
            // Elsewhere, other layers may lean on the old name.
            Some(home) if is_template && *home == format!("/home/{}", was.name) => {
                Some(format!("/home/{name}"))
            }
            home => home.clone(),
        };
        let mut lines = lines(group);
        let has_own_group = lines.any(|line| {
            field(line, 0) == was.name.as_bytes() && id(field(line, 2)) == Some(was.gid)
        });
        Ok(Change {
            now: Account {
                name,
                uid: to.uid.into(),
                gid: to.gid.into(),
                home,
            },
            was,
            has_own_group,
        })
    }

    /// The text of an account file for the new user; `None` for other files.
    pub(super) fn account_file(&self, path: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let (was, now) = (self.was.name.as_bytes(), self.now.name.as_bytes());
        Some(match path {
            b"etc/passwd" => self.passwd(text),
            b"etc/group" => self.group(text),
            b"etc/shadow" | b"etc/subuid" | b"etc/subgid" => renamed(text, was, now, b':', &[]),
            b"etc/gshadow" => renamed(text, was, now, b':', &[2, 3]),
            path if path.starts_with(b"etc/sudoers.d/") => renamed(text, was, now, b' ', &[]),
            _ => return None,
        })
    }

    fn passwd(&self, text: &[u8]) -> Vec<u8> {
        let (was, now) = (&self.was, &self.now);
        let old = lines(text).find(|line| field(line, 0) == was.name.as_bytes());
        let old = old.unwrap_or_default();
        let home = now.home.as_ref().map_or(field(old, 5), |h| h.as_bytes());
        let (uid, gid) = (now.uid.to_string(), now.gid.to_string());
        let line = [
            now.name.as_bytes(),
            field(old, 1),
            uid.as_bytes(),
            gid.as_bytes(),
            field(old, 4),
            home,
            field(old, 6),
        ];
        let gone = [was.name.as_bytes(), now.name.as_bytes()];
        put(text, &gone, &line.join(&b':'), now.uid == 0)
    }

    fn group(&self, text: &[u8]) -> Vec<u8> {
        let (was, now) = (&self.was, &self.now);
        let (old_name, name) = (was.name.as_bytes(), now.name.as_bytes());
        let own = lines(text).find(|line| self.has_own_group && field(line, 0) == old_name);
        let gid = now.gid.to_string();
        let members = field(own.unwrap_or(b":::"), 3);
        let line = [name, b"x", gid.as_bytes(), members].join(&b':');
        let gone: &[&[u8]] = if self.has_own_group {
            &[old_name, name]
        } else {
            &[name]
        };
        let text = put(text, gone, &line, now.gid == 0);
        in_lists(&text, old_name, name, &[3])
    }
}

/// The account that the configuration's `User` names.
fn find(passwd: &[u8], group: &[u8], user: &str) -> Result<Account, ReownError> {
    let (who, of_group) = match user.split_once(':') {
        Some((who, group)) => (who, Some(group)),
        None => (user, None),
    };
    let by_name = lines(passwd).find(|line| field(line, 0) == who.as_bytes());
    let by_id = || {
        let uid = id(who.as_bytes())?;
        lines(passwd).find(|line| id(field(line, 2)) == Some(uid))
    };
    let found = by_name.or_else(by_id).and_then(|line| {
        let name = std::str::from_utf8(field(line, 0)).ok()?;
        let home = std::str::from_utf8(field(line, 5)).ok()?;
        let is_path = home.starts_with('/') && !home.chars().any(char::is_control);
        let home = match NO_HOME.contains(&home) {
            true => None,
            false if is_path => Some(home.to_owned()),
            false => return None,
        };
        Some(Account {
            name: name.parse::<UserName>().ok()?.to_string(),
            uid: id(field(line, 2))?,
            gid: id(field(line, 3))?,
            home,
        })
    });
    let mut account = found.ok_or_else(|| {
        ReownError::refused(
            format!("its user `{who}` has no usable line in the last layer's /etc/passwd"),
            Remedy::BuildForOwner,
        )
    })?;
    if let Some(name) = of_group {
        let line = lines(group).find(|line| field(line, 0) == name.as_bytes());
        let gid = line.and_then(|line| id(field(line, 2)));
        account.gid = gid.or_else(|| id(name.as_bytes())).ok_or_else(|| {
            ReownError::refused(
                format!("its group `{name}` has no usable line in the last layer's /etc/group"),
                Remedy::BuildForOwner,
            )
        })?;
    }
    Ok(account)
}

/// A home that lies in another layer would still belong to the old user.
fn check_home(entries: &Entries, user: &Account) -> Result<(), ReownError> {
    let Some(home) = &user.home else {
        return Ok(());
    };
    match super::tree::folder_owner(entries, home) {
        Some(owner) if owner == user.uid => Ok(()),
        _ => Err(ReownError::refused(
            format!(
                "the home folder {home} of its user isn't in the last layer: it would still \
                 belong to uid {}",
                user.uid
            ),
            Remedy::BuildForOwner,
        )),
    }
}

/// The lines of an account file, without the line ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|&b| b == b'\n').filter(|line| !line.is_empty())
}

fn field(line: &[u8], at: usize) -> &[u8] {
    line.split(|&b| b == b':').nth(at).unwrap_or_default()
}

fn id(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let id: u32 = text.parse().ok().filter(|_| !text.starts_with('+'))?;
    Some(id.into())
}

/// Puts a line below the first one (or on top) and drops those of the given names.
fn put(text: &[u8], gone: &[&[u8]], new: &[u8], on_top: bool) -> Vec<u8> {
    let mut all: Vec<&[u8]> = Vec::new();
    for (at, line) in lines(text).enumerate() {
        if at == 0 && on_top {
            all.push(new);
        }
        if !gone.contains(&field(line, 0)) {
            all.push(line);
        }
        if at == 0 && !on_top {
            all.push(new);
        }
    }
    joined(&all)
}

/// Renames the lines that begin with a name; other lines of the new name go.
fn renamed(text: &[u8], was: &[u8], now: &[u8], after: u8, lists: &[usize]) -> Vec<u8> {
    let rest = |line: &'_ [u8], name: &[u8]| -> Option<Vec<u8>> {
        let rest = line.strip_prefix(name)?;
        (rest.first() == Some(&after)).then(|| rest.to_vec())
    };
    let mut all: Vec<Vec<u8>> = Vec::new();
    for line in text.split_inclusive(|&b| b == b'\n') {
        if let Some(rest) = rest(line, was) {
            all.push([now, &rest].concat());
        } else if rest(line, now).is_none() {
            all.push(line.to_vec());
        }
    }
    in_lists(&all.concat(), was, now, lists)
}

/// Renames a member in the comma-separated lists of these fields.
fn in_lists(text: &[u8], was: &[u8], now: &[u8], lists: &[usize]) -> Vec<u8> {
    if lists.is_empty() || was == now {
        return text.to_vec();
    }
    let line = |line: &[u8]| -> Vec<u8> {
        let fields = line.split(|&b| b == b':').enumerate();
        let fields = fields.map(|(at, field)| {
            if lists.contains(&at) {
                let members = field.split(|&b| b == b',');
                let members = members.map(|m| if m == was { now } else { m });
                members.collect::<Vec<_>>().join(&b',')
            } else {
                field.to_vec()
            }
        });
        fields.collect::<Vec<_>>().join(&b':')
    };
    joined(&lines(text).map(line).collect::<Vec<_>>())
}

fn joined(lines: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let ended = lines.iter().map(|line| [line.as_ref(), b"\n"].concat());
    ended.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::super::tests::change;
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\nml:x:1000:100::/home/ml:/bin/bash\n\
        daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nme:x:7:7::/:/bin/sh\n";
    const GROUP: &[u8] =
        b"root:x:0:\nml:x:100:\ndaemon:x:1:\nsudo:x:27:a,ml\nusers:x:100:\nmlx:x:8:mlx\n";

    fn text(change: &Change, path: &str, text: &[u8]) -> String {
        let new = change.account_file(path.as_bytes(), text).unwrap();
        String::from_utf8(new).unwrap()
    }

    #[test]
    fn the_new_user_takes_the_old_ones_place() {
        let change = change("me", 2000, 2001);
        insta::assert_snapshot!(text(&change, "etc/passwd", PASSWD), @r"
        root:x:0:0:root:/root:/bin/bash
        me:x:2000:2001::/home/me:/bin/bash
        daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
        ");
        insta::assert_snapshot!(text(&change, "etc/group", GROUP), @r"
        root:x:0:
        me:x:2001:
        daemon:x:1:
        sudo:x:27:a,me
        users:x:100:
        mlx:x:8:mlx
        ");
        let shadow = b"root:*:1:0:9:7:::\nml:*::0:99999:7:::\nme:!:1::::::\nmlx:*:::::::\n";
        insta::assert_snapshot!(text(&change, "etc/shadow", shadow), @r"
        root:*:1:0:9:7:::
        me:*::0:99999:7:::
        mlx:*:::::::
        ");
        let sudoers = b"ml ALL=(ALL) NOPASSWD:ALL\n";
        let sudoers = text(&change, "etc/sudoers.d/mlbuild-user", sudoers);
        assert_eq!(sudoers, "me ALL=(ALL) NOPASSWD:ALL\n");
        assert_eq!(change.account_file(b"etc/hosts", b""), None);
    }

    #[test]
    fn an_id_of_zero_stands_above_root() {
        let change = change("ml", 0, 0);
        let passwd = text(&change, "etc/passwd", PASSWD);
        assert!(
            passwd.starts_with("ml:x:0:0::/home/ml:/bin/bash\nroot:"),
            "{passwd}"
        );
        let group = text(&change, "etc/group", GROUP);
        assert!(group.starts_with("ml:x:0:\nroot:"), "{group}");
    }

    #[test]
    fn users_are_found_by_name_and_by_id() {
        let of = |user: &str| {
            find(PASSWD, GROUP, user)
                .map(|a| (a.name, a.uid, a.gid))
                .ok()
        };
        assert_eq!(of("ml"), Some(("ml".to_owned(), 1000, 100)));
        assert_eq!(of("1000"), Some(("ml".to_owned(), 1000, 100)));
        assert_eq!(of("ml:sudo"), Some(("ml".to_owned(), 1000, 27)));
        assert_eq!(of("1000:5"), Some(("ml".to_owned(), 1000, 5)));
        assert_eq!(of("ml:nobody"), None);
        assert_eq!(of("4711"), None);
        assert_eq!(of("+1000"), None);
        for line in [
            "a b:x:5:5::/home/a:",
            "a:x:5:5::home:",
            "a:x:5:5::/\x1b[2J:",
            "a:x:-1:5::/:",
        ] {
            let name = line.split(':').next().unwrap();
            assert!(find(line.as_bytes(), GROUP, name).is_err(), "{line}");
        }
    }
}
