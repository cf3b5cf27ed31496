// Runs a library that is overwritten in place while it is loaded, as cp does.
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	void *lib = dlopen("./libplugin.so", RTLD_NOW);
	int (*far)(int) = lib ? (int (*)(int))dlsym(lib, "far_function") : 0;
	if (!far)
		return 90;
	if (truncate("libplugin.so", 0))
		return 91;
	return far(3);
}
