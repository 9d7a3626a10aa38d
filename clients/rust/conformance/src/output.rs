//! Lines on standard output.
use serde_json::Value;
use tokio::{
    io::{AsyncWriteExt, stdout},
    sync::mpsc,
    task::JoinHandle,
};

/// Writes one JSON object a line, each as a whole.
#[derive(Clone)]
pub struct Output(mpsc::UnboundedSender<Option<String>>);

impl Output {
    /// The task ends after [`Self::end`].
    pub fn new() -> (Self, JoinHandle<()>) {
        let (sender, mut lines) = mpsc::unbounded_channel::<Option<String>>();
        let written = tokio::spawn(async move {
            let mut stdout = stdout();
            while let Some(Some(line)) = lines.recv().await {
                // The reader has gone: nothing is left to be done.
                if stdout.write_all(line.as_bytes()).await.is_err() || stdout.flush().await.is_err() {
                    return;
                }
            }
        });
        (Self(sender), written)
    }

    pub fn line(&self, value: &Value) {
        let _ = self.0.send(Some(format!("{value}\n")));
    }

    pub fn end(&self) {
        let _ = self.0.send(None);
    }
}
