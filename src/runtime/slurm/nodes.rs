//! A run on several nodes: how many containers there are, and what each is told of the others.

use super::script::given;
use super::{JobContext, LeftOut};
use crate::runtime::distributed::{Distributed, Launcher, Rendezvous};
use crate::runtime::options::Options;
use crate::runtime::value::Assignment;

/// How a job is spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spread {
    /// How many nodes, at least 1.
    pub(super) nodes: u32,
    /// How many containers on each of them, at least 1.
    pub(super) tasks: u32,
    /// What tells a container where it is, each with its bash.
    pub(super) ranks: Vec<(String, String)>,
    /// Variables that have a value of somebody's own: it goes where all those go.
    pub(super) own: Vec<Assignment>,
    of_nodes: Option<Distributed>,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            nodes: 1,
            tasks: 1,
            ranks: Vec::new(),
            own: Vec::new(),
            of_nodes: None,
        }
    }
}

impl Spread {
    /// What the flags say. `gpus` are those of each node.
    ///
    /// # Errors
    /// The flag that can't be followed.
    pub(super) fn read(
        own: &Options,
        context: &JobContext,
        gpus: Option<u32>,
    ) -> Result<Self, LeftOut> {
        let of_nodes = Distributed::of(own, gpus)?;
        let nodes = of_nodes.map_or(1, |spread| spread.nodes);
        let refused = |what: &str, why: &str| LeftOut {
            what: what.to_owned(),
            why: why.to_owned(),
        };
        if of_nodes.is_some_and(|spread| spread.launcher == Launcher::Mpirun) {
            return Err(refused(
                Launcher::Mpirun.flag(),
                "mpirun in a container finds no nodes of Slurm's, which starts the processes itself: --ntasks-per-node N",
            ));
        }
        if !own.has("ntasks-per-node") {
            let (ranks, own) =
                of_nodes.map_or_else(Default::default, |spread| of_containers(spread, context));
            return Ok(Self {
                nodes,
                tasks: 1,
                ranks,
                own,
                of_nodes,
            });
        }
        for (flag, what) in [
            ("nproc-per-node", "--nproc-per-node"),
            ("launcher", "--launcher"),
        ] {
            if own.has(flag) && own.text(flag) != Some("none") {
                return Err(refused(
                    what,
                    "with --ntasks-per-node each process has a container of its own: leave one of both out",
                ));
            }
        }
        let tasks = own
            .text("ntasks-per-node")
            .and_then(|text| text.parse().ok());
        Ok(Self {
            nodes,
            tasks: tasks.unwrap_or(1),
            ranks: of_processes(context),
            own: Vec::new(),
            of_nodes: None,
        })
    }

    /// How many containers there are.
    pub(super) fn all(&self) -> u32 {
        self.nodes.saturating_mul(self.tasks)
    }

    /// What takes the place of the image's entry point, and the words after it, as a launcher starts them.
    ///
    /// # Errors
    /// Where it has nothing to start.
    pub(super) fn started(
        &self,
        entrypoint: Option<&str>,
        command: &[String],
    ) -> Result<(Option<String>, Vec<String>), LeftOut> {
        let spread = self.of_nodes.filter(|it| it.launcher != Launcher::None);
        let Some(spread) = spread else {
            return Ok((entrypoint.map(str::to_owned), command.to_vec()));
        };
        let program = entrypoint.filter(|program| !program.is_empty());
        let mut words = spread.wrap(program, command, None)?;
        let first = entrypoint.map(|_| words.remove(0));
        Ok((first, words))
    }
}

/// Each container is a process.
fn of_processes(context: &JobContext) -> Vec<(String, String)> {
    let all = [
        ("MASTER_ADDR", "$MASTER_ADDR"),
        ("MASTER_PORT", "$MASTER_PORT"),
        ("WORLD_SIZE", "$SLURM_NTASKS"),
        ("RANK", "$SLURM_PROCID"),
        ("LOCAL_RANK", "$SLURM_LOCALID"),
        ("NODE_RANK", "$SLURM_NODEID"),
    ];
    let ranks = all
        .into_iter()
        .filter(|(name, _)| given(context, name).is_none());
    ranks
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Each container is a node, which may start several processes.
fn of_containers(
    spread: Distributed,
    context: &JobContext,
) -> (Vec<(String, String)>, Vec<Assignment>) {
    let at = Rendezvous {
        address: "$MASTER_ADDR".to_owned(),
        port: "$MASTER_PORT".to_owned(),
        node: "$SLURM_NODEID".to_owned(),
    };
    let (mut ranks, mut own) = (Vec::new(), Vec::new());
    for (name, value) in spread.variables(&at) {
        if given(context, name).is_some() {
            continue;
        }
        // What somebody set for PyTorch is meant for torchrun, too.
        let meant = name.strip_prefix("PET_").and_then(|it| given(context, it));
        match meant {
            Some(value) => own.push(Assignment {
                name: name.to_owned(),
                value: Some(value.to_owned()),
            }),
            None => ranks.push((name.to_owned(), value)),
        }
    }
    (ranks, own)
}
