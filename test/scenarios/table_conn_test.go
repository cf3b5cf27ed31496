package scenarios

var connects = []Scenario{}

var losses = []Scenario{}
