# A lock node is ready when it votes: when its marker names the run of its own process. A container that was restarted is
# not, until the longest lease has ended; so a rolling change and a drain wait for its vote before they take the next.
run_id=$(redis-cli INFO server | sed -n 's/^run_id:\([0-9a-f]*\).*/\1/p')
[ -n "$run_id" ] && [ "$(redis-cli GET dibs:marker)" = "$run_id" ]
