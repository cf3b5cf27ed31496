// flags: -O0
// Deep in a recursion that is well within the stack, a null pointer.
static int walk(int n, volatile int *leaf) { return n ? walk(n - 1, leaf) + 1 : *leaf; }
int main(void) { return walk(2000, 0); }
