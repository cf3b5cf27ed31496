#include <stdlib.h>
__attribute__((noinline)) static int average(int sum, volatile int n) { return sum / n; }
int main(void) { return average(100, atoi("0")); }
