//! The client against a real service on its embedded default, and against one that answers what a real one answers
//! only on a bad day.
mod addresses;
mod away;
mod codecs;
mod coming_back;
mod double;
mod examples;
mod further;
mod gone_wrong;
mod hooks;
mod in_process;
mod invalidating;
mod joining;
mod leases;
mod left_sessions;
mod logs;
mod near;
mod options;
mod rebuilding;
mod runtimes;
mod secrets;
mod session;
mod support;
mod unreachable;
mod values;
