"""Write models/line/1: a saved model of y = 2x + 1. Needs tensorflow."""

import tensorflow as tf


class Line(tf.Module):
    def __init__(self):
        self.w = tf.Variable(2.0)
        self.b = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"y": self.w * x + self.b}


line = Line()
tf.saved_model.save(line, "models/line/1", signatures=line.predict)
