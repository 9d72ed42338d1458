"""The flights journey: will this flight arrive 30 minutes late or more?"""
