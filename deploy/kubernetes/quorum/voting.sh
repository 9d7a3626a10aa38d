# A lock node is ready when it votes, that is, when its marker names the run of its own process. A restarted container is
# not ready until the longest lease has ended. So rolling changes and drains wait for its vote before they take the next.
# Arguments are options of redis-cli.
run_id=$(redis-cli "$@" INFO server | sed -n 's/^run_id:\([0-9a-f]*\).*/\1/p')
[ -n "$run_id" ] && [ "$(redis-cli "$@" GET dibs:marker)" = "$run_id" ]
