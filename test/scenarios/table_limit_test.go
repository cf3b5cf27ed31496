package scenarios

var limits = []Scenario{}
