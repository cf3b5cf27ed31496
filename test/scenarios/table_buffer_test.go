package scenarios

var buffers = []Scenario{}
