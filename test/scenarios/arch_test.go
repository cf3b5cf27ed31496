package scenarios

import "runtime"

var isAMD64 = runtime.GOARCH == "amd64"
