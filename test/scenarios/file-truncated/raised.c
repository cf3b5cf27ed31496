// SIGBUS that nothing in memory made.
#include <signal.h>
int main(void) { return raise(SIGBUS); }
