//! A passwd and a group with the host's user in them, so that a program that runs as that user has a
//! name and a home. They hold what the image's files hold, one user and one group more; nothing of the
//! host's own files, and no password.

/// A user of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The two files, and what they say of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: String,
    /// `/etc/group`.
    pub group: String,
    /// The user's name.
    pub name: String,
    /// The user's home.
    pub home: String,
    /// Whether the image had the user before.
    pub known: bool,
}

impl Me {
    /// This process's user: named by the host's accounts, or else by `USER`.
    pub fn this(passwd: &str, user: Option<&str>) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let named = lines(passwd).find(|line| id(line, 2) == Some(uid));
        let name = named
            .and_then(|line| line.split(':').next())
            .or(user)
            .unwrap_or("user");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name: String = name.chars().filter(|&c| is_plain(c)).collect();
        Self {
            name: if name.is_empty() {
                "user".to_owned()
            } else {
                name
            },
            uid,
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// The image's accounts with this user among them.
    pub fn among(&self, passwd: &str, group: &str) -> Accounts {
        let Self { name, uid, gid } = self;
        let mut groups: Vec<String> = lines(group).map(str::to_owned).collect();
        if !groups.iter().any(|line| id(line, 2) == Some(*gid)) {
            groups.retain(|line| line.split(':').next() != Some(name));
            groups.push(format!("{name}:x:{gid}:"));
        }
        let group = ended(&groups);
        if let Some(line) = lines(passwd).find(|line| id(line, 2) == Some(*uid)) {
            let fields: Vec<&str> = line.split(':').collect();
            return Accounts {
                passwd: ended(&lines(passwd).map(str::to_owned).collect::<Vec<_>>()),
                group,
                name: fields[0].to_owned(),
                home: fields
                    .get(5)
                    .filter(|home| home.starts_with('/'))
                    .unwrap_or(&"/")
                    .to_string(),
                known: true,
            };
        }
        let home = format!("/home/{name}");
        let mut users: Vec<String> = lines(passwd)
            .filter(|line| line.split(':').next() != Some(name))
            .map(str::to_owned)
            .collect();
        users.push(format!("{name}:x:{uid}:{gid}::{home}:/bin/sh"));
        Accounts {
            passwd: ended(&users),
            group,
            name: name.clone(),
            home,
            known: false,
        }
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.contains(':'))
}

fn id(line: &str, field: usize) -> Option<u32> {
    line.split(':').nth(field)?.parse().ok()
}

fn ended(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\nann:x:77:77::/srv:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nubuntu:x:1000:\n";

    fn me(uid: u32, gid: u32) -> Me {
        Me {
            name: "ann".into(),
            uid,
            gid,
        }
    }

    #[test]
    fn a_user_that_the_image_has_not_is_added() {
        let accounts = me(1_000_055, 1_000_055).among(PASSWD, GROUP);
        insta::assert_snapshot!(format!("{}---\n{}", accounts.passwd, accounts.group), @r"
        root:x:0:0:root:/root:/bin/bash
        ubuntu:x:1000:1000::/home/ubuntu:/bin/bash
        ann:x:1000055:1000055::/home/ann:/bin/sh
        ---
        root:x:0:
        ubuntu:x:1000:
        ann:x:1000055:
        ");
        assert_eq!(
            (accounts.home.as_str(), accounts.known),
            ("/home/ann", false)
        );
    }

    #[test]
    fn a_user_that_the_image_has_stays() {
        let accounts = me(1000, 1000).among(PASSWD, GROUP);
        assert_eq!(
            (accounts.passwd.as_str(), accounts.group.as_str()),
            (PASSWD, GROUP)
        );
        assert_eq!(
            (
                accounts.name.as_str(),
                accounts.home.as_str(),
                accounts.known
            ),
            ("ubuntu", "/home/ubuntu", true)
        );
    }

    #[test]
    fn an_image_without_accounts_gets_them() {
        let accounts = me(5, 6).among("", "");
        assert_eq!(accounts.passwd, "ann:x:5:6::/home/ann:/bin/sh\n");
        assert_eq!(accounts.group, "ann:x:6:\n");
    }

    #[test]
    fn a_name_is_one_that_a_line_can_hold() {
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(
            Me::this(&format!("vorph:x:{uid}:1::/:/bin/sh\n"), None).name,
            "vorph"
        );
        assert_eq!(Me::this("", Some("a:b\nc")).name, "abc");
        assert_eq!(Me::this("", Some("::")).name, "user");
    }
}
