// Takes all the CPU that it gets, until it is killed.
for (;;);
