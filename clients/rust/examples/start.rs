use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), dibs::Error> {
    let dibs = dibs::Client::new()?; // DIBS_TARGET, else 127.0.0.1:50051
    let user = dibs.get_or_rebuild("user:42").ttl(Duration::from_secs(60)).stale_ttl(Duration::from_secs(600)).json();
    let name: Option<String> = user.with(|| async { Ok(Some("Ada".into())) }).await?; // your database
    println!("{}", name.unwrap_or_default());
    Ok(())
}
