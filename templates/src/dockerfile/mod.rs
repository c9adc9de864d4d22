//! Dockerfiles as typed instructions: what each may hold, and one renderer.
//!
//! Which instructions an image needs is decided in [`mod@crate::compose`].

mod instruction;
mod render;
mod script;
mod word;

pub use instruction::{
    CacheMount, Copy, Healthcheck, Instruction, Mount, Network, Purpose, Run, Sharing,
};
pub use render::RenderError;
pub use script::{Script, shell_quote};
pub(crate) use script::{script_operand, script_pattern, script_word};
pub use word::Word;

/// A Dockerfile: instructions in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dockerfile {
    /// The instructions, comments and blank lines, from top to bottom.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Appends an instruction.
    pub fn push(&mut self, instruction: Instruction) {
        self.instructions.push(instruction);
    }

    /// Appends a blank line and a comment, one line of the comment per line of the text.
    pub fn section(&mut self, comment: &str) {
        self.push(Instruction::Blank);
        self.push(Instruction::Comment(comment.to_owned()));
    }

    /// The file's text, which ends with a line break.
    ///
    /// # Errors
    /// Where a value holds something that no Dockerfile can say, such as a line break in ENV.
    pub fn render(&self) -> Result<String, RenderError> {
        render::dockerfile(self)
    }
}
