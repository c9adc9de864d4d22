//! A run on several nodes: how many, how many processes on each of them, and what starts those.
//!
//! Variables are those of `torchrun` and of PyTorch's `env://`
//! (<https://docs.pytorch.org/docs/stable/elastic/run.html>,
//! <https://docs.pytorch.org/docs/stable/distributed.html#environment-variable-initialization>): each option
//! of `torchrun` has its default from `PET_` and the option's name. How a backend says which node is the first
//! one, and which one this is, is its own business: it hands both in as text.

use super::options::Options;
use super::render::LeftOut;

/// The port of the first node at which all others meet; PyTorch's own default.
pub const MASTER_PORT: u16 = 29500;
/// The flags that make a run one of several nodes or processes.
pub const FLAGS_OF_NODES: [&str; 3] = ["nodes", "nproc-per-node", "launcher"];

/// `accelerate launch` by the variables of a node.
const ACCELERATE: &str = "exec accelerate launch --machine_rank=\"$NODE_RANK\" \
    --main_process_ip=\"$MASTER_ADDR\" --main_process_port=\"$MASTER_PORT\" \"$@\"";

/// The variables that a run of several nodes reads.
pub mod names {
    /// Name of the first node.
    pub const MASTER_ADDR: &str = "MASTER_ADDR";
    /// Port of the first node.
    pub const MASTER_PORT: &str = "MASTER_PORT";
    /// Which node it is, from 0.
    pub const NODE_RANK: &str = "NODE_RANK";
}

/// What starts the processes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// The command itself: it is started once on each node.
    None,
    /// `torchrun`, of the image.
    Torchrun,
    /// `accelerate launch`, of the image.
    Accelerate,
    /// `mpirun`, of the image: it starts the processes of all nodes.
    Mpirun,
}

impl Launcher {
    /// The flag that asks for it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::None => "--launcher=none",
            Self::Torchrun => "--launcher=torchrun",
            Self::Accelerate => "--launcher=accelerate",
            Self::Mpirun => "--launcher=mpirun",
        }
    }
}

/// How a run is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distributed {
    /// How many nodes, at least 1.
    pub nodes: u32,
    /// How many processes on each of them, at least 1.
    pub processes: u32,
    /// What starts them.
    pub launcher: Launcher,
}

/// Where the processes meet, and which node this is, in the words of whoever starts them.
#[derive(Debug, Clone)]
pub struct Rendezvous {
    /// Name or address of the first node.
    pub address: String,
    /// Its port.
    pub port: String,
    /// Which node this is, from 0.
    pub node: String,
}

impl Distributed {
    /// What the flags say; `None` where none of them is there. `gpus` are those of each node.
    ///
    /// # Errors
    /// The flag that can't be followed.
    pub fn of(options: &Options, gpus: Option<u32>) -> Result<Option<Self>, LeftOut> {
        if !FLAGS_OF_NODES.iter().any(|flag| options.has(flag)) {
            return Ok(None);
        }
        let number = |flag: &str, text: &str| match text.parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(refused(flag, text, "a whole number from 1")),
        };
        let nodes = options
            .text("nodes")
            .map_or(Ok(1), |text| number("nodes", text))?;
        let launcher = match options.text("launcher") {
            Some("torchrun") => Launcher::Torchrun,
            Some("accelerate") => Launcher::Accelerate,
            Some("mpirun") => Launcher::Mpirun,
            _ => Launcher::None,
        };
        let gpus = gpus.filter(|gpus| *gpus > 0);
        let processes = match (options.text("nproc-per-node"), gpus) {
            (None, gpus) => gpus.unwrap_or(1),
            (Some("gpu"), Some(gpus)) => gpus,
            (Some("gpu"), None) => {
                let why =
                    "a process for each GPU, and no number of GPUs is asked for; write --gpus N";
                return Err(LeftOut {
                    what: "--nproc-per-node=gpu".to_owned(),
                    why: why.to_owned(),
                });
            }
            (Some(text), _) => number("nproc-per-node", text)
                .map_err(|_| refused("nproc-per-node", text, "a whole number from 1, or gpu"))?,
        };
        Ok(Some(Self {
            nodes,
            processes,
            launcher,
        }))
    }

    /// The variables of a node. Those of single processes are among them only where each node has one, which
    /// the command itself is: otherwise whoever starts the processes sets them.
    pub fn variables(&self, at: &Rendezvous) -> Vec<(&'static str, String)> {
        let (nodes, processes) = (self.nodes.to_string(), self.processes.to_string());
        let mut all = vec![
            (names::NODE_RANK, at.node.clone()),
            (names::MASTER_ADDR, at.address.clone()),
            (names::MASTER_PORT, at.port.clone()),
            ("NNODES", nodes.clone()),
            ("NPROC_PER_NODE", processes.clone()),
            ("PET_NNODES", nodes.clone()),
            ("PET_NPROC_PER_NODE", processes),
            ("PET_NODE_RANK", at.node.clone()),
            ("PET_MASTER_ADDR", at.address.clone()),
            ("PET_MASTER_PORT", at.port.clone()),
        ];
        if self.processes == 1 && self.launcher == Launcher::None {
            all.push(("WORLD_SIZE", nodes));
            all.push(("RANK", at.node.clone()));
        }
        all
    }

    /// The command as the launcher starts it, `program` before it where it isn't the image's own. Without a
    /// rendezvous the node's number, address and port are those of [the variables](Self::variables).
    ///
    /// # Errors
    /// Where there is nothing to be started.
    pub fn wrap(
        &self,
        program: Option<&str>,
        command: &[String],
        at: Option<&Rendezvous>,
    ) -> Result<Vec<String>, LeftOut> {
        let words = program.map(str::to_owned).into_iter();
        let words: Vec<String> = words.chain(command.iter().cloned()).collect();
        if self.launcher == Launcher::None {
            return Ok(words);
        }
        let Some(first) = words.first() else {
            return Err(LeftOut {
                what: self.launcher.flag().to_owned(),
                why: "it starts a command, and none is given after the image".to_owned(),
            });
        };
        // Both launchers put their own Python before a script or module. Any other program is started as it is.
        let is_pythons = is_script(first) || first == "-m";
        if self.launcher == Launcher::Mpirun {
            let all = self.all_processes().to_string();
            let mut line = vec!["mpirun".to_owned(), "-n".to_owned(), all];
            line.extend(words);
            return Ok(line);
        }
        if self.launcher == Launcher::Accelerate {
            let mut line = self.accelerate(at);
            line.extend((!is_pythons).then(|| "--no_python".to_owned()));
            line.extend(words);
            return Ok(line);
        }
        // Without hyphens, which torchrun takes since PyTorch 2.0 only.
        let mut line = vec![
            "torchrun".to_owned(),
            format!("--nnodes={}", self.nodes),
            format!("--nproc_per_node={}", self.processes),
        ];
        if let Some(at) = at {
            line.push(format!("--node_rank={}", at.node));
            line.push(format!("--master_addr={}", at.address));
            line.push(format!("--master_port={}", at.port));
        }
        line.extend((!is_pythons).then(|| "--no_python".to_owned()));
        line.extend(words);
        Ok(line)
    }

    fn all_processes(&self) -> u32 {
        self.nodes.saturating_mul(self.processes)
    }

    /// `accelerate launch` with its flags, which it reads no variables for.
    fn accelerate(&self, at: Option<&Rendezvous>) -> Vec<String> {
        let mut line = match at {
            Some(at) => vec![
                "accelerate".to_owned(),
                "launch".to_owned(),
                format!("--machine_rank={}", at.node),
                format!("--main_process_ip={}", at.address),
                format!("--main_process_port={}", at.port),
            ],
            None => ["sh", "-c", ACCELERATE, "accelerate"]
                .map(str::to_owned)
                .to_vec(),
        };
        line.push(format!("--num_machines={}", self.nodes));
        line.push(format!("--num_processes={}", self.all_processes()));
        // It refuses that for one process, and starts one alone without it.
        line.extend((self.all_processes() > 1).then(|| "--multi_gpu".to_owned()));
        line
    }
}

fn is_script(word: &str) -> bool {
    std::path::Path::new(word)
        .extension()
        .is_some_and(|extension| extension == "py")
}

fn refused(flag: &str, text: &str, wanted: &str) -> LeftOut {
    LeftOut {
        what: format!("--{flag}={text}"),
        why: format!("write {wanted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::kubernetes::SUBMIT;

    fn read(line: &str, gpus: Option<u32>) -> Result<Option<Distributed>, String> {
        let words: Vec<&str> = line.split_whitespace().chain(["img"]).collect();
        let options = SUBMIT.parse_with_image(&words).unwrap().own;
        Distributed::of(&options, gpus).map_err(|part| format!("{}: {}", part.what, part.why))
    }

    #[test]
    fn the_flags_in_every_combination() {
        use Launcher::{None as Plain, Torchrun};
        let spread = |nodes, processes, launcher| {
            Ok(Some(Distributed {
                nodes,
                processes,
                launcher,
            }))
        };
        for (line, gpus, wanted) in [
            ("", Some(8), Ok(None)),
            ("--nodes 2", None, spread(2, 1, Plain)),
            ("--nodes 2", Some(8), spread(2, 8, Plain)),
            ("--nodes 2 --nproc-per-node 3", Some(8), spread(2, 3, Plain)),
            ("--nodes 2 --nproc-per-node gpu", Some(8), spread(2, 8, Plain)),
            ("--nproc-per-node 4", None, spread(1, 4, Plain)),
            ("--launcher torchrun", Some(2), spread(1, 2, Torchrun)),
            ("--launcher none --nodes 2", Some(0), spread(2, 1, Plain)),
            (
                "--nodes 0",
                None,
                Err("--nodes=0: write a whole number from 1".to_owned()),
            ),
            (
                "--nodes=-1",
                None,
                Err("--nodes=-1: write a whole number from 1".to_owned()),
            ),
            (
                "--nproc-per-node auto",
                None,
                Err("--nproc-per-node=auto: write a whole number from 1, or gpu".to_owned()),
            ),
            (
                "--nproc-per-node gpu",
                None,
                Err("--nproc-per-node=gpu: a process for each GPU, and no number of GPUs is asked for; write --gpus N".to_owned()),
            ),
        ] {
            assert_eq!(read(line, gpus), wanted, "{line} {gpus:?}");
        }
    }

    fn at() -> Rendezvous {
        Rendezvous {
            address: "A".to_owned(),
            port: "P".to_owned(),
            node: "R".to_owned(),
        }
    }

    #[test]
    fn torchrun_starts_scripts_modules_and_other_programs() {
        let spread = Distributed {
            nodes: 2,
            processes: 4,
            launcher: Launcher::Torchrun,
        };
        let flags =
            "torchrun --nnodes=2 --nproc_per_node=4 --node_rank=R --master_addr=A --master_port=P";
        for (program, command, wanted) in [
            (None, "train.py --lr 1", "train.py --lr 1"),
            (None, "-m train", "-m train"),
            (None, "python -u train.py", "--no_python python -u train.py"),
            (Some("python"), "train.py", "--no_python python train.py"),
        ] {
            let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
            let line = spread.wrap(program, &command, Some(&at())).unwrap();
            assert_eq!(line.join(" "), format!("{flags} {wanted}"));
        }
        assert!(spread.wrap(None, &[], Some(&at())).is_err());
        let accelerate = Distributed {
            launcher: Launcher::Accelerate,
            ..spread
        };
        let line = accelerate.wrap(None, &["train.py".to_owned()], Some(&at()));
        assert_eq!(
            line.unwrap().join(" "),
            "accelerate launch --machine_rank=R --main_process_ip=A --main_process_port=P --num_machines=2 \
             --num_processes=8 --multi_gpu train.py"
        );
        let by_variables = spread.wrap(None, &["train.py".to_owned()], None).unwrap();
        let wanted = "torchrun --nnodes=2 --nproc_per_node=4 train.py";
        assert_eq!(by_variables.join(" "), wanted);
    }

    #[test]
    fn a_process_has_its_rank_from_whoever_starts_it() {
        let named = |processes, launcher| {
            let spread = Distributed {
                nodes: 2,
                processes,
                launcher,
            };
            let all = spread.variables(&at()).into_iter();
            let of_processes = all.filter(|(name, _)| matches!(*name, "RANK" | "WORLD_SIZE"));
            of_processes.map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(named(1, Launcher::None), ["2", "R"]);
        assert_eq!(named(4, Launcher::None), [""; 0]);
        assert_eq!(named(1, Launcher::Torchrun), [""; 0]);
    }
}
