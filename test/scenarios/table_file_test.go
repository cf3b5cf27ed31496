package scenarios

var disk = []Scenario{}

var files = []Scenario{}
