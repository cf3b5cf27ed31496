import json
import pricing_rules_v2
