// Uses all the CPU time that it can get, until it is killed.
for (;;);
