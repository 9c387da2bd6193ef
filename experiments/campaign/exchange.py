"""x"""


class Shared:
    def __init__(self, *a):
        pass

    def trade(self, *a):
        return dict(indicators_sent=0, indicators_received=0, indicators_true=0)
