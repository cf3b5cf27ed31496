// flags: -O0
// What is left where a function was compiled away as unreachable.
int main(int argc, char **argv)
{
	if (argc > 0)
		__builtin_trap();
	return 0;
}
