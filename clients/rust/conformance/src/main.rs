//! The conformance adapter: JSON lines on standard input and output, one object a line. Commands run concurrently.
mod adapter;
mod asking;
mod bench;
mod command;
mod further;
mod opening;
mod output;
mod raw;
mod rebuild;
mod told;
mod warnings;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::{adapter::Adapter, command::Command, output::Output, warnings::Warnings};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (output, written) = Output::new();
    tracing::subscriber::set_global_default(Warnings(output.clone())).expect("it is the first");
    output.line(&json!({ "event": "ready" }));
    let adapter = Adapter::new(output.clone());
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str::<Command>(&line) {
            Ok(Command { id, what }) => {
                let (adapter, output) = (adapter.clone(), output.clone());
                tokio::spawn(async move {
                    output.line(&match adapter.run(what).await {
                        Ok(result) => json!({ "id": id, "result": result }),
                        Err(error) => json!({ "id": id, "error": error }),
                    });
                });
            }
            Err(error) => eprintln!("{error}: {line}"),
        }
    }
    output.end();
    written.await?;
    std::process::exit(0);
}
