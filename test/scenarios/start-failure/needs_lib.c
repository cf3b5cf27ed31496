// Needs a library that is removed before it starts; see its table entry.
int ledger_open(void);
int main(void) { return ledger_open(); }
