# A model server by mlbuild. It also builds without mlbuild:
#
#   docker build -t my-image .

ARG BASE_IMAGE=tensorflow/serving:2.19.1
FROM ${BASE_IMAGE}
USER root

# The model, under its name and version.
COPY export/cracks/ /models/cracks/1/
ENV MODEL_BASE_PATH=/models \
    MODEL_NAME=cracks

EXPOSE 8500 8501
