# One task of the array is one point: its folder is beside the array's, with the point's number after it.
array=@FOLDER@
case ${1-} in
    task | beside) folder=${0%/*} ;;
    *) folder=$array-$SLURM_ARRAY_TASK_ID ;;
esac
