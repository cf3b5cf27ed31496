package scenarios

var dns = []Scenario{}
