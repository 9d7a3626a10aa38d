module dibs/bench/aside

go 1.25.0

require (
	github.com/redis/rueidis v1.0.78
	github.com/redis/rueidis/rueidisaside v1.0.78
)

require golang.org/x/sys v0.47.0 // indirect
